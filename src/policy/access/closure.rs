//! What is reached from each name of a graph: inherited roles, implied scopes.

use std::collections::{BTreeMap, BTreeSet};

/// Each name with all that is reached from it, itself included.
pub(super) type Closure = BTreeMap<String, BTreeSet<String>>;

/// Follows every edge. Names that are reached and have no edges of their own stand for themselves.
///
/// # Errors
/// The names of a cycle, the first again at its end.
pub(super) fn closure<'a>(
    names: impl Iterator<Item = &'a str>,
    edges: impl Fn(&str) -> &'a [String],
) -> Result<Closure, Vec<String>> {
    let mut closed = Closure::new();
    for name in names {
        // A path is never longer than there are names: one that comes again ends it.
        follow(name, &edges, &mut Vec::new(), &mut closed)?;
    }
    Ok(closed)
}

fn follow<'a>(
    name: &str,
    edges: &impl Fn(&str) -> &'a [String],
    path: &mut Vec<String>,
    closed: &mut Closure,
) -> Result<(), Vec<String>> {
    if closed.contains_key(name) {
        return Ok(());
    }
    let again = path.iter().position(|before| before == name);
    path.push(name.to_owned());
    if let Some(first) = again {
        return Err(path.split_off(first));
    }
    let mut reached = BTreeSet::from([name.to_owned()]);
    for next in edges(name) {
        follow(next, edges, path, closed)?;
        reached.extend(closed[next].iter().cloned());
    }
    path.pop();
    closed.insert(name.to_owned(), reached);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(edges: &[(&str, &[&str])]) -> Result<Vec<String>, String> {
        let edges: BTreeMap<String, Vec<String>> = edges
            .iter()
            .map(|(from, to)| ((*from).into(), to.iter().map(|to| (*to).into()).collect()))
            .collect();
        let found = closure(edges.keys().map(String::as_str), |name| {
            edges.get(name).map_or(&[][..], Vec::as_slice)
        });
        let shown = |(name, reached): (String, BTreeSet<String>)| {
            format!("{name}: {}", Vec::from_iter(reached).join(" "))
        };
        found
            .map(|closed| closed.into_iter().map(shown).collect())
            .map_err(|path| path.join(" -> "))
    }

    #[test]
    fn all_that_is_inherited_is_reached_once() {
        let closed = of(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"])]).unwrap();
        assert_eq!(closed, ["a: a b c d", "b: b d", "c: c d", "d: d"]);
    }

    #[test]
    fn a_cycle_is_told_as_its_path() {
        assert_eq!(of(&[("a", &["a"])]), Err("a -> a".into()));
        let edges: &[(&str, &[&str])] = &[("a", &["b"]), ("b", &["c"]), ("c", &["d", "b"])];
        assert_eq!(of(edges), Err("b -> c -> b".into()));
    }
}
