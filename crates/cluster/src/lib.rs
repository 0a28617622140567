//! The distributed runner.
