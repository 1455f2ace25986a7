//! Whether a program is one for any Linux of its architecture: what the head of an ELF file says, and no more.
//!
//! The layout is that of the System V ABI (gABI, chapters "ELF Header" and "Program Header"), for 64 bits, little-endian.

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Program {
    /// The processor, as `uname -m` calls it, or `unknown`.
    pub(crate) machine: &'static str,
    /// Whether it runs without libraries of the machine it is put into.
    pub(crate) is_static: bool,
}

/// Why something is not a program for a guest.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ProgramError {
    /// No ELF file at all: a script, an archive, half a download.
    #[error("not a program for Linux (no ELF file)")]
    NotElf,
    /// 32 bits or big-endian.
    #[error("not a program of 64 bits, little-endian")]
    OtherKind,
    /// Its own description points outside of the file.
    #[error("cut off: its table of segments is not all there")]
    CutOff,
}

const MAGIC: &[u8] = b"\x7fELF";
/// 64 bits, little-endian.
const CLASS: &[u8] = &[2, 1];
/// `PT_INTERP`: the path of the dynamic linker, which a static program has not.
const INTERPRETER: u32 = 3;
/// `sizeof(Elf64_Phdr)`
const SEGMENT: usize = 56;

impl Program {
    pub(crate) fn read(file: &[u8]) -> Result<Self, ProgramError> {
        if !file.starts_with(MAGIC) {
            return Err(ProgramError::NotElf);
        }
        if file.get(4..6) != Some(CLASS) {
            return Err(ProgramError::OtherKind);
        }
        let machine = match u16_at(file, 18)? {
            62 => "x86_64",
            183 => "aarch64",
            243 => "riscv64",
            _ => "unknown",
        };
        let table = usize::try_from(u64_at(file, 32)?).map_err(|_| ProgramError::CutOff)?;
        let size = usize::from(u16_at(file, 54)?).max(SEGMENT);
        let mut is_static = true;
        for n in 0..usize::from(u16_at(file, 56)?) {
            let segment = n.checked_mul(size).and_then(|offset| offset.checked_add(table));
            let kind = u32_at(file, segment.ok_or(ProgramError::CutOff)?)?;
            is_static &= kind != INTERPRETER;
        }
        Ok(Self { machine, is_static })
    }
}

fn bytes<const N: usize>(file: &[u8], offset: usize) -> Result<[u8; N], ProgramError> {
    let bytes = offset.checked_add(N).and_then(|end| file.get(offset..end));
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(ProgramError::CutOff)
}

fn u16_at(file: &[u8], offset: usize) -> Result<u16, ProgramError> {
    bytes(file, offset).map(u16::from_le_bytes)
}

fn u32_at(file: &[u8], offset: usize) -> Result<u32, ProgramError> {
    bytes(file, offset).map(u32::from_le_bytes)
}

fn u64_at(file: &[u8], offset: usize) -> Result<u64, ProgramError> {
    bytes(file, offset).map(u64::from_le_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The smallest file that is a program with these kinds of segments.
    pub(crate) fn program(machine: u16, segments: &[u32]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..4].copy_from_slice(MAGIC);
        file[4..6].copy_from_slice(CLASS);
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[32..40].copy_from_slice(&64_u64.to_le_bytes());
        file[54..56].copy_from_slice(&56_u16.to_le_bytes());
        file[56..58].copy_from_slice(&u16::try_from(segments.len()).unwrap().to_le_bytes());
        for kind in segments {
            file.extend_from_slice(&kind.to_le_bytes());
            file.resize(file.len() + 52, 0);
        }
        file
    }

    #[test]
    fn a_static_program_is_one_without_a_dynamic_linker() {
        let read = |machine, segments: &[u32]| Program::read(&program(machine, segments)).unwrap();
        assert_eq!(read(62, &[1, 1, 2]), Program { machine: "x86_64", is_static: true });
        assert_eq!(read(183, &[6, 3, 1]), Program { machine: "aarch64", is_static: false });
        assert_eq!(read(8, &[]).machine, "unknown");
    }

    #[test]
    fn what_is_no_program_is_told_as_what_it_is() {
        assert_eq!(Program::read(b"#!/bin/sh\n"), Err(ProgramError::NotElf));
        assert_eq!(Program::read(b"\x7fELF\x01\x01"), Err(ProgramError::OtherKind));
        let whole = program(62, &[1, 3]);
        assert_eq!(Program::read(&whole[..60]), Err(ProgramError::CutOff));
    }

    #[test]
    fn the_program_that_runs_this_is_one_that_needs_libraries() {
        let this = Program::read(&std::fs::read("/proc/self/exe").unwrap()).unwrap();
        assert_eq!(this.machine, std::env::consts::ARCH);
        assert_eq!(this.is_static, cfg!(target_env = "musl"));
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange(mut file: Vec<u8>, cut in 0_usize..64) {
            let _ = Program::read(&file);
            file.splice(..0, program(62, &[1])[..cut].iter().copied());
            let _ = Program::read(&file);
        }
    }
}
