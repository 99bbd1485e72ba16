// Transactions of SQLite, one after the other, for tests that cut the power.
//   sqlite DATABASE delete|wal COUNT MARKS
// Transaction N puts N into the table `state`, adds row N to `rows`, changes an older row and sometimes
// deletes one. Before each, and after SQLite has said that it is committed, a mark is written past all caches
// to the block device MARKS ("-" for none): `QMRK`, N, 0 or 1, the result, as user/src/bin/script.rs has it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static sqlite3 *db;
static int marks = -1;
static unsigned char sector[4096] __attribute__((aligned(4096)));

static void mark(uint32_t number, uint32_t phase, int64_t answer) {
    if (marks < 0) return;
    memset(sector, 0, 512);
    memcpy(sector, "QMRK", 4);
    memcpy(sector + 4, &number, 4);
    memcpy(sector + 8, &phase, 4);
    memcpy(sector + 12, &answer, 8);
    if (pwrite(marks, sector, 512, 0) != 512) {
        perror("a mark");
        exit(4);
    }
}

static void run(const char *sql) {
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK) {
        printf("%s: %s\n", sql, error);
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int wal = strcmp(argv[2], "wal") == 0, count = atoi(argv[3]);
    if (strcmp(argv[4], "-") != 0 && (marks = open(argv[4], O_WRONLY | O_DIRECT)) < 0) {
        perror(argv[4]);
        return 3;
    }
    if (sqlite3_open(argv[1], &db) != SQLITE_OK) {
        printf("%s: %s\n", argv[1], sqlite3_errmsg(db));
        return 1;
    }
    // With a write-ahead log not exclusive: its index is then a file that is mapped shared (-shm).
    if (!wal) run("PRAGMA locking_mode=EXCLUSIVE");
    run(wal ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=DELETE");
    run("PRAGMA synchronous=FULL");
    run("PRAGMA wal_autocheckpoint=12");
    mark(0, 0, 0);
    run("CREATE TABLE state(last INTEGER); CREATE TABLE rows(n INTEGER PRIMARY KEY, content BLOB);"
        "CREATE INDEX by_content ON rows(content); INSERT INTO state VALUES(0)");
    mark(0, 1, 0);
    for (int n = 1; n <= count; n++) {
        char sql[600];
        snprintf(sql, sizeof sql,
                 "BEGIN; UPDATE state SET last=%d;"
                 "INSERT INTO rows VALUES(%d, randomblob(%d));"
                 "UPDATE rows SET content=randomblob(%d) WHERE n=%d;"
                 "DELETE FROM rows WHERE n=%d AND %d%%5=0; COMMIT",
                 n, n, 40 + n * 97 % 1500, 30 + n * 61 % 900, n * 7 % n + 1, n / 2, n);
        mark(n, 0, 0);
        run(sql);
        mark(n, 1, 0);
    }
    sqlite3_close(db);
    puts("done");
    return 0;
}
