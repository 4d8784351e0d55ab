//! User-space instructions per request.
use crate::args::Args;
use anyhow::Result;
pub fn run(args: Args) -> Result<()> {
    args.finish()
}
