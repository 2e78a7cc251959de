//! The program. All of it is in this package's library, which is compiled beside the crates that it uses; a binary could only
//! be compiled after them.

fn main() -> std::process::ExitCode {
    rialto::main()
}
