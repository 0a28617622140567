//! Texts of bounded length.

/// Cuts a text to at most `max` bytes, at the border of a character, and marks the cut. A cut text is left as it is.
pub(crate) fn cut_in_place(text: &mut String, max: usize) {
    const MARK: char = '…';
    if text.len() > max.max(MARK.len_utf8()) {
        text.truncate(text.floor_char_boundary(max.saturating_sub(MARK.len_utf8())));
        text.push(MARK);
    }
}
