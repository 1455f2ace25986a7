//! The texts of help.
