//! JSON pointers with `*`: which members of a document are always taken out.

/// Pointers with more steps than any document has levels cannot match.
const STEPS_MAX: usize = 64;

/// The pointers of one tool.
#[derive(Clone, Debug, Default)]
pub(super) struct Pointers(Vec<Vec<Step>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Any member, any element.
    Any,
    Named(String),
}

/// The pointers that lead on from a place, and how deep it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    live: Vec<usize>,
    depth: usize,
}

/// Where a step leads.
pub(super) enum Leads {
    /// To something that is taken out.
    Target,
    /// To where a pointer may still lead on.
    On(Trail),
}

impl Pointers {
    /// Reads them.
    ///
    /// # Errors
    /// A sentence about the first that is no pointer.
    pub(super) fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, String> {
        let pointers = texts.iter().map(|text| parse(text.as_ref()));
        pointers.collect::<Result<_, _>>().map(Self)
    }

    /// All of them, at the top of a document.
    pub(super) fn top(&self) -> Trail {
        Trail {
            live: (0..self.0.len()).collect(),
            depth: 0,
        }
    }

    /// Where the member or element `name` of the place `trail` leads.
    pub(super) fn step(&self, trail: &Trail, name: &str) -> Leads {
        let mut live = Vec::new();
        for &pointer in &trail.live {
            let steps = &self.0[pointer];
            let fits = match steps.get(trail.depth) {
                Some(Step::Any) => true,
                Some(Step::Named(wanted)) => wanted == name,
                None => false,
            };
            if fits && steps.len() == trail.depth + 1 {
                return Leads::Target;
            }
            if fits {
                live.push(pointer);
            }
        }
        Leads::On(Trail {
            live,
            depth: trail.depth + 1,
        })
    }
}

impl Trail {
    /// Whether no pointer leads on from here.
    pub(super) fn is_lost(&self) -> bool {
        self.live.is_empty()
    }
}

fn parse(text: &str) -> Result<Vec<Step>, String> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err(format!(
            "{text:?} is no pointer: write \"/\" before each step, as in \"/customer/iban\""
        ));
    };
    let steps: Vec<_> = rest.split('/').map(step).collect();
    if steps.len() > STEPS_MAX {
        return Err(format!("{text:?} has more than {STEPS_MAX} steps"));
    }
    Ok(steps)
}

fn step(text: &str) -> Step {
    match text {
        "*" => Step::Any,
        name => Step::Named(name.replace("~1", "/").replace("~0", "~")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(pointers: &[&str], path: &[&str]) -> bool {
        let pointers = Pointers::parse(pointers).unwrap();
        let mut trail = pointers.top();
        for (at, name) in path.iter().enumerate() {
            match pointers.step(&trail, name) {
                Leads::Target => return at + 1 == path.len(),
                Leads::On(next) => trail = next,
            }
        }
        false
    }

    #[test]
    fn a_pointer_leads_to_what_it_names() {
        for (pointer, path, expected) in [
            ("/a", &["a"][..], true),
            ("/a", &["b"], false),
            ("/a/b", &["a", "b"], true),
            ("/a/b", &["a"], false),
            ("/a/*/c", &["a", "0", "c"], true),
            ("/a/*/c", &["a", "0", "d"], false),
            ("/*", &["anything"], true),
            ("/a~1b", &["a/b"], true),
            ("/a~0b", &["a~b"], true),
            ("/", &[""], true),
        ] {
            assert_eq!(leads(&[pointer], path), expected, "{pointer} {path:?}");
        }
        assert!(leads(&["/x", "/a/b"], &["a", "b"]));
        assert!(!leads(&[], &["a"]));
    }

    #[test]
    fn what_is_no_pointer_is_said() {
        assert!(Pointers::parse(&["customer/iban"]).is_err());
        assert!(Pointers::parse(&["/a".repeat(65)]).is_err());
    }
}
