use crate::Result;
use crate::args::Args;
pub fn main(_: Args) -> Result<()> {
    Ok(())
}
