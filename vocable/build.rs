//! Has the program laid out for little memory: see `layout.ld`.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=layout.ld");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|it| it == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("PROFILE", "release") {
        println!("cargo::rustc-link-arg-bins=-T{}/layout.ld", env!("CARGO_MANIFEST_DIR"));
    }
}
