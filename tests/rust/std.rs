//! A program of Rust's standard library, as anybody would write it. Ends with 7.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    println!("arguments {:?}", std::env::args().skip(1).collect::<Vec<_>>());
    println!("NAME={}", std::env::var("NAME")?);
    println!("in {:?}, {:?}", std::env::current_dir()?, std::env::current_exe()?.file_name());
    println!("on {} CPU", std::thread::available_parallelism()?);
    memory();
    files(Path::new("/rust"))?;
    time()?;
    let caught = std::panic::catch_unwind(|| std::env::args().nth(99).expect("not so many"));
    println!("panic caught: {}", caught.is_err());
    let mut line = String::new();
    println!("{} bytes of input", io::stdin().read_line(&mut line)?);
    println!("all is well");
    std::process::exit(7)
}

fn memory() {
    let map: HashMap<u32, String> = (0..10_000).map(|i| (i, format!("value {i}"))).collect();
    let sorted: BTreeMap<_, _> = map.iter().map(|(k, v)| (v, k)).collect();
    assert_eq!(sorted.len(), 10_000);
    let mut large = vec![0u8; 4 << 20];
    large.fill(7);
    assert_eq!(large.iter().map(|&b| u64::from(b)).sum::<u64>(), 7 * (4 << 20));
    println!("{:.3} {}", 2f64.sqrt(), f64::MAX);
}

fn files(root: &Path) -> Outcome {
    let deep = root.join("a/b/c");
    fs::create_dir_all(&deep)?;
    let lines = root.join("lines");
    let mut out = BufWriter::new(File::create(&lines)?);
    (0..20_000).try_for_each(|i| writeln!(out, "line {i}"))?;
    out.into_inner()?.sync_all()?;
    assert_eq!(BufReader::new(File::open(&lines)?).lines().count(), 20_000);

    let mut file = OpenOptions::new().read(true).write(true).open(&lines)?;
    file.seek(SeekFrom::End(-4))?;
    let mut end = String::new();
    file.read_to_string(&mut end)?;
    assert_eq!(end, "999\n");
    file.write_all_at(b"LINE", 0)?;
    file.set_len(6)?;
    assert_eq!(fs::read_to_string(&lines)?, "LINE 0");
    let then = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_789);
    file.set_times(FileTimes::new().set_modified(then))?;
    assert_eq!(file.metadata()?.modified()?, then);
    file.set_permissions(fs::Permissions::from_mode(0o604))?;
    assert_eq!(file.metadata()?.mode() & 0o7777, 0o604);

    assert_eq!(fs::copy(&lines, deep.join("copy"))?, 6);
    fs::rename(deep.join("copy"), deep.join("moved"))?;
    fs::hard_link(&lines, root.join("hard"))?;
    assert_eq!(file.metadata()?.nlink(), 2);
    symlink("../lines", root.join("a/link"))?;
    assert_eq!(fs::canonicalize(root.join("a/link"))?, lines);
    let mut names = fs::read_dir(root)?.map(|e| e.map(|e| e.file_name())).collect::<Result<Vec<_>, _>>()?;
    names.sort();
    assert_eq!(names, ["a", "hard", "lines"]);

    let error = |outcome: io::Result<()>| outcome.err().map(|e| e.kind());
    assert_eq!(error(fs::remove_dir(root)), Some(ErrorKind::DirectoryNotEmpty));
    assert_eq!(error(fs::create_dir(root)), Some(ErrorKind::AlreadyExists));
    assert_eq!(error(File::open("/none").map(drop)), Some(ErrorKind::NotFound));
    fs::remove_dir_all(root)?;
    assert!(!fs::exists(root)?);
    Ok(())
}

fn time() -> Outcome {
    let begin = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    assert!(begin.elapsed() >= Duration::from_millis(20));
    assert!(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() > 1_700_000_000);
    Ok(())
}
