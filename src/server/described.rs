//! The setters that everything in a list has, said once.
//!
//! A macro, not a trait: a builder's methods are found in its own documentation and need no import.

/// Gives a builder with the fields `definition` and `audience` the setters of a list's entry; the
/// text says what its description is for.
macro_rules! described {
    ($builder:ty, $description:literal) => {
        impl $builder {
            /// A name for people.
            pub fn title(mut self, title: impl Into<String>) -> Self {
                self.definition.title = Some(title.into());
                self
            }

            #[doc = $description]
            pub fn description(mut self, description: impl Into<String>) -> Self {
                self.definition.description = Some(description.into());
                self
            }

            /// A picture of it; may be said several times. From 2025-11-25.
            pub fn icon(mut self, icon: crate::protocol::icon::Icon) -> Self {
                self.definition.icons.push(icon);
                self
            }

            /// Metadata of it, under a key with a prefix (`example.com/rank`). From 2025-06-18.
            pub fn meta(
                mut self,
                key: impl Into<String>,
                value: impl Into<serde_json::Value>,
            ) -> Self {
                self.definition.meta.insert(key.into(), value.into());
                self
            }

            /// Who may see it; everybody, unless said. To anybody else it does not exist: no list,
            /// no change notice and no call tells that it does. Said several times, all have to
            /// agree.
            ///
            /// ```
            /// use switchboard::prelude::*;
            ///
            /// let staff_only = |caller: &Caller| caller.has_role("staff");
            /// let wipe = Tool::new("wipe", |_, NoArguments {}| async { Ok("wiped") })
            ///     .visible_to(staff_only);
            /// ```
            ///
            /// Over HTTP everybody is one caller ([`Principal::local`](crate::identity::Caller::local))
            /// as long as there is no authentication.
            ///
            /// The function is asked whenever somebody looks, so it answers at once and never
            /// waits. When its answers change, announce it as a change: add the thing again
            /// ([`Handle`](super::Handle)).
            pub fn visible_to(
                mut self,
                audience: impl Fn(&crate::identity::Caller) -> bool + Send + Sync + 'static,
            ) -> Self {
                self.audience.narrow(audience);
                self
            }
        }
    };
}

pub(super) use described;
