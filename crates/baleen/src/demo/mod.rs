//! demo
#[derive(clap::Args)]
pub struct Args {}
pub fn run(_args: &Args) -> Result<crate::exit::Exit, crate::exit::Failure> { Ok(crate::exit::Exit::Fine) }
