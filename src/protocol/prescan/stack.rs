//! A stack that small documents keep off the heap.

/// A stack whose first `N` items need no heap.
pub(super) struct Stack<T, const N: usize> {
    inline: [T; N],
    /// All items, once there have been more than `N`.
    spilled: Vec<T>,
    len: usize,
}

impl<T: Copy, const N: usize> Stack<T, N> {
    /// An empty stack; `filler` only occupies the unused places.
    pub(super) fn new(filler: T) -> Self {
        Self {
            inline: [filler; N],
            spilled: Vec::new(),
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn as_slice(&self) -> &[T] {
        if self.spilled.is_empty() {
            &self.inline[..self.len]
        } else {
            &self.spilled
        }
    }

    pub(super) fn push(&mut self, item: T) {
        if self.spilled.is_empty() && self.len < N {
            self.inline[self.len] = item;
        } else {
            if self.spilled.is_empty() {
                self.spilled.extend_from_slice(&self.inline[..self.len]);
            }
            self.spilled.push(item);
        }
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let last = self.as_slice().last().copied()?;
        self.truncate(self.len - 1);
        Some(last)
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.spilled.truncate(len);
        self.len = self.len.min(len);
    }
}
