//! A radix tree from a 64-bit index to an item, with three tags per item.
//!
//! ```text
//!   height 2            [ . X . . … ]  inner: 64 slots, `tags` say below which slot a tag is set
//!                          |
//!   height 1            [ a . b … ]    leaf: 64 slots, `tags` say which items carry it
//! ```
//! Index 67 = 1·64 + 3 lies in slot 3 of the leaf in slot 1 of the root. The tree is only as high as
//! its largest index needs, so a file of up to 256 KiB is one leaf.
//!
//! A change of tags goes to the leaf; only when the leaf's first or last item with a tag came or went, the
//! levels above are told. A walk over many items finds a leaf once for all of them.
//!
//! # Invariants
//! 1. `present` has a bit for exactly the occupied slots; no node but the root is ever empty.
//! 2. A tag's bit of an inner slot is set exactly when some item below carries the tag.
//! 3. The tree is empty (`root` None) exactly when `len` is 0.
//!
//! # Locking
//! None of its own: `mapping.rs` keeps each tree behind a SpinLock. No walk is longer than the height
//! (11 at most) times what the caller asks for.

use alloc::boxed::Box;

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const MASK: u64 = SLOTS as u64 - 1;

/// What an item can be marked with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tag {
    /// To be written some day.
    Dirty,
    /// On its way to the disk.
    Writeback,
    /// Dirty when the present data-integrity sweep began.
    ToWrite,
}

const TAGS: usize = 3;

struct Body<S> {
    slots: [Option<S>; SLOTS],
    present: u64,
    tags: [u64; TAGS],
}

enum Node<T> {
    Inner(Box<Body<Node<T>>>),
    Leaf(Box<Body<T>>),
}

/// The tree; see the module.
pub struct Tree<T> {
    root: Option<Node<T>>,
    /// Levels below the root: a leaf alone is 0.
    level: u32,
    /// The largest index that the present height can hold.
    reach: u64,
    len: usize,
}

impl<S> Body<S> {
    fn new() -> Box<Body<S>> {
        Box::new(Body { slots: [const { None }; SLOTS], present: 0, tags: [0; TAGS] })
    }

    /// The slots that are occupied, or carry a tag.
    fn with(&self, tag: Option<Tag>) -> u64 {
        tag.map_or(self.present, |t| self.tags[t as usize])
    }

    fn put(&mut self, slot: usize, s: S) {
        self.slots[slot] = Some(s);
        self.present |= 1 << slot;
    }

    fn take(&mut self, slot: usize) -> Option<S> {
        self.present &= !(1 << slot);
        for tags in &mut self.tags {
            *tags &= !(1 << slot);
        }
        self.slots[slot].take()
    }

    fn set(&mut self, slot: usize, tag: Tag, on: bool) {
        let tags = &mut self.tags[tag as usize];
        *tags = if on { *tags | 1 << slot } else { *tags & !(1 << slot) };
    }
}

fn slot_of(index: u64, level: u32) -> usize {
    // Masked to 6 bits.
    ((index >> (level * BITS)) & MASK) as usize
}

impl<T> Node<T> {
    fn new(level: u32) -> Node<T> {
        if level == 0 { Node::Leaf(Body::new()) } else { Node::Inner(Body::new()) }
    }

    fn is_empty(&self) -> bool {
        match self {
            Node::Inner(b) => b.present == 0,
            Node::Leaf(b) => b.present == 0,
        }
    }

    fn tags(&self) -> &[u64; TAGS] {
        match self {
            Node::Inner(b) => &b.tags,
            Node::Leaf(b) => &b.tags,
        }
    }

    fn has(&self, tag: Tag) -> bool {
        self.tags()[tag as usize] != 0
    }

    /// The leaf that `index` belongs to.
    fn leaf_mut(&mut self, mut level: u32, index: u64) -> Option<&mut Body<T>> {
        let mut node = self;
        loop {
            match node {
                Node::Leaf(leaf) => return Some(leaf),
                Node::Inner(inner) => node = inner.slots[slot_of(index, level)].as_mut()?,
            }
            level -= 1;
        }
    }

    fn insert(&mut self, level: u32, index: u64, item: T) -> Result<(), T> {
        let slot = slot_of(index, level);
        match self {
            Node::Leaf(leaf) => {
                if leaf.slots[slot].is_some() {
                    return Err(item);
                }
                leaf.put(slot, item);
                Ok(())
            }
            Node::Inner(inner) => {
                if let Some(child) = &mut inner.slots[slot] {
                    return child.insert(level - 1, index, item);
                }
                let mut child = Node::new(level - 1);
                let done = child.insert(level - 1, index, item);
                inner.put(slot, child);
                done
            }
        }
    }

    fn remove(&mut self, level: u32, index: u64) -> Option<T> {
        let slot = slot_of(index, level);
        match self {
            Node::Leaf(leaf) => leaf.take(slot),
            Node::Inner(inner) => {
                let child = inner.slots[slot].as_mut()?;
                let item = child.remove(level - 1, index)?;
                if child.is_empty() {
                    inner.take(slot);
                } else {
                    let below = *child.tags();
                    for (tags, below) in inner.tags.iter_mut().zip(below) {
                        if below == 0 {
                            *tags &= !(1 << slot);
                        }
                    }
                }
                Some(item)
            }
        }
    }

    /// The tags above the leaf of `index` become what those below say.
    fn renew_tags(&mut self, level: u32, index: u64) {
        let Node::Inner(inner) = self else { return };
        let slot = slot_of(index, level);
        let Some(child) = &mut inner.slots[slot] else { return };
        child.renew_tags(level - 1, index);
        let below = *child.tags();
        for (tags, below) in inner.tags.iter_mut().zip(below) {
            *tags = (*tags & !(1 << slot)) | u64::from(below != 0) << slot;
        }
    }

    /// The first leaf with an item at or after `from` (only its digits up to `level` count).
    fn next(&self, level: u32, from: u64, tag: Option<Tag>) -> Option<Found<'_, T>> {
        let first = slot_of(from, level);
        match self {
            Node::Leaf(leaf) => {
                let left = leaf.with(tag) & (u64::MAX << first);
                (left != 0).then_some(Found { leaf, start: 0, left })
            }
            Node::Inner(inner) => {
                let mut left = inner.with(tag) & (u64::MAX << first);
                while left != 0 {
                    let slot = left.trailing_zeros() as usize;
                    left &= left - 1;
                    let from = if slot == first { from } else { 0 };
                    let found = inner.slots[slot].as_ref().and_then(|c| c.next(level - 1, from, tag));
                    if let Some(found) = found {
                        return Some(Found { start: (slot as u64) << (level * BITS) | found.start, ..found });
                    }
                }
                None
            }
        }
    }
}

/// Some items of a leaf.
struct Found<'a, T> {
    leaf: &'a Body<T>,
    /// The index of its slot 0.
    start: u64,
    /// Which of its slots, as bits.
    left: u64,
}

impl<'a, T> Found<'a, T> {
    /// The first of them, which goes.
    #[inline]
    fn pop(&mut self) -> Option<(u64, &'a T)> {
        if self.left == 0 {
            return None;
        }
        let slot = self.left.trailing_zeros() as usize;
        self.left &= self.left - 1;
        self.leaf.slots[slot].as_ref().map(|item| (self.start | slot as u64, item))
    }
}

impl<T> Tree<T> {
    /// An empty tree.
    pub const fn new() -> Tree<T> {
        Tree { root: None, level: 0, reach: MASK, len: 0 }
    }

    /// How many items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether `index` is beyond what the present height can hold.
    fn beyond(&self, index: u64) -> bool {
        index > self.reach
    }

    /// The item at `index`.
    #[inline]
    pub fn get(&self, index: u64) -> Option<&T> {
        if self.beyond(index) {
            return None;
        }
        let mut node = self.root.as_ref()?;
        let mut level = self.level;
        loop {
            match node {
                Node::Leaf(leaf) => return leaf.slots[slot_of(index, 0)].as_ref(),
                Node::Inner(inner) => node = inner.slots[slot_of(index, level)].as_ref()?,
            }
            level -= 1;
        }
    }

    /// Puts an item in; gives it back when the place is taken.
    pub fn insert(&mut self, index: u64, item: T) -> Result<(), T> {
        while self.beyond(index) {
            self.grow();
        }
        let level = self.level;
        self.root.get_or_insert_with(|| Node::new(level)).insert(level, index, item)?;
        self.len += 1;
        Ok(())
    }

    /// One level more on top.
    fn grow(&mut self) {
        self.level += 1;
        self.reach = self.reach << BITS | MASK;
        if let Some(old) = self.root.take() {
            let mut top = Body::new();
            for (tags, below) in top.tags.iter_mut().zip(old.tags()) {
                *tags = u64::from(*below != 0);
            }
            top.put(0, old);
            self.root = Some(Node::Inner(top));
        }
    }

    /// Takes the item at `index` out, its tags with it.
    pub fn remove(&mut self, index: u64) -> Option<T> {
        if self.beyond(index) {
            return None;
        }
        let item = self.root.as_mut()?.remove(self.level, index)?;
        self.len -= 1;
        if self.len == 0 {
            self.root = None;
            (self.level, self.reach) = (0, MASK);
        }
        Some(item)
    }

    /// Sets (true) or clears tags of the item at `index`, if there is one.
    #[inline]
    pub fn tag<const N: usize>(&mut self, index: u64, changes: [(Tag, bool); N]) {
        if self.beyond(index) {
            return;
        }
        let slot = slot_of(index, 0);
        let Some(root) = &mut self.root else { return };
        let Some(leaf) = root.leaf_mut(self.level, index).filter(|leaf| leaf.slots[slot].is_some()) else {
            return;
        };
        let mut above = false;
        for (tag, on) in changes {
            let had = leaf.tags[tag as usize] != 0;
            leaf.set(slot, tag, on);
            above |= had != (leaf.tags[tag as usize] != 0);
        }
        if above {
            root.renew_tags(self.level, index);
        }
    }

    /// Whether any item carries the tag.
    #[inline]
    pub fn any(&self, tag: Tag) -> bool {
        self.root.as_ref().is_some_and(|r| r.has(tag))
    }

    /// The first leaf with items at or after `from`; with a tag: with some that carry it.
    fn next(&self, from: u64, tag: Option<Tag>) -> Option<Found<'_, T>> {
        if self.beyond(from) {
            return None;
        }
        self.root.as_ref()?.next(self.level, from, tag)
    }

    /// Items from `from` to `last` inclusive, in order; with a tag: those that carry it.
    pub fn range(&self, from: u64, last: u64, tag: Option<Tag>) -> impl Iterator<Item = (u64, &T)> {
        let mut found = self.next(from, tag);
        core::iter::from_fn(move || {
            let leaf = found.as_mut()?;
            let item = leaf.pop().filter(|&(index, _)| index <= last);
            if leaf.left == 0 {
                let next = (leaf.start | MASK).checked_add(1);
                found = next.and_then(|next| self.next(next, tag));
            }
            item
        })
    }

    /// Sets `set` on the items of `from..=last` that carry `having`, in at most `leaves` leaves. Returns
    /// where to go on, None at the end.
    pub fn tag_range(&mut self, from: u64, last: u64, having: Tag, set: Tag, leaves: usize) -> Option<u64> {
        let mut at = from;
        for _ in 0..leaves {
            let Found { start, left, .. } = self.next(at, Some(having))?;
            // Those up to `last`, if it lies in this leaf.
            let within = match last.checked_sub(start)? {
                reach if reach < MASK => left & ((2 << reach) - 1),
                _ => left,
            };
            let leaf = self.root.as_mut()?.leaf_mut(self.level, start)?;
            let had = leaf.tags[set as usize];
            leaf.tags[set as usize] |= within;
            if had == 0 && within != 0 {
                self.root.as_mut()?.renew_tags(self.level, start);
            }
            at = (start | MASK).checked_add(1).filter(|&next| next <= last)?;
        }
        Some(at)
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
