//! Placeholder until the real scan lands.
#[derive(Debug, Clone, Copy)]
pub struct Limits { pub depth: usize, pub members: usize }
impl Default for Limits { fn default() -> Self { Self { depth: 64, members: 200_000 } } }
pub enum Shape { Object, Array }
#[derive(Debug, thiserror::Error)]
pub enum PrescanError { #[error("the body is not valid JSON")] Syntax }
pub fn prescan(bytes: &[u8], _limits: &Limits) -> Result<Shape, PrescanError> {
    let v: &serde_json::value::RawValue = serde_json::from_slice(bytes).map_err(|_| PrescanError::Syntax)?;
    Ok(if v.get().starts_with('[') { Shape::Array } else { Shape::Object })
}
