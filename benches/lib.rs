//! Nothing: cargo wants a package to have more than benches.
