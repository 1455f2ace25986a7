//! Paths against a tree on disk: both ways to find one agree, and nothing leads out.
