//! The `jackal` program: a thin shell around [`jackal::cli`].

fn main() -> std::process::ExitCode {
    jackal::cli::run()
}
