//! What is looked for, and what is done with it.

use std::fmt;
use std::str::FromStr;

/// Why something must not be stored as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// It stands where the configuration says so.
    Pointer,
    /// The name it stands under says so.
    Key,
    /// A name and a password of a URL, or a value that a text assigns to a secret name.
    Credentials,
    /// A private key or certificate in PEM.
    Pem,
    /// A JSON Web Token.
    Jwt,
    /// A key of a known maker, ours among them.
    ApiKey,
    /// A payment card's number.
    Card,
    /// A bank account's number.
    Iban,
    /// A number that a state gives a person.
    NationalId,
    /// An electronic mail address.
    Email,
    /// A telephone number.
    Phone,
    /// An IP address.
    Ip,
    /// What looks drawn at random, as secrets are.
    HighEntropy,
}

impl Class {
    /// All there are; of two that overlap, the first names what is taken out.
    pub const ALL: [Self; 13] = [
        Self::Pointer,
        Self::Key,
        Self::Credentials,
        Self::Pem,
        Self::Jwt,
        Self::ApiKey,
        Self::Card,
        Self::Iban,
        Self::NationalId,
        Self::Email,
        Self::Phone,
        Self::Ip,
        Self::HighEntropy,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// What it is called in the configuration and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pointer => "pointer",
            Self::Key => "key",
            Self::Credentials => "credentials",
            Self::Pem => "pem",
            Self::Jwt => "jwt",
            Self::ApiKey => "api_key",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::NationalId => "national_id",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Ip => "ip",
            Self::HighEntropy => "high_entropy",
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|class| class.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is nothing that is looked for; there are: {names}")
        })
    }
}

/// What is done with something found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Left out, with the member it is the value of.
    Drop,
    /// Only what it was is left.
    Mask,
    /// A keyed hash stands for it: equal values stay equal.
    Token,
    /// It is sealed, for whoever has the cluster's keys.
    Encrypt,
    /// Left as it is, in tools that have an entry of their own; masked everywhere else.
    Keep,
}

impl Action {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::Drop,
        Self::Mask,
        Self::Token,
        Self::Encrypt,
        Self::Keep,
    ];

    /// What it is called in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Mask => "mask",
            Self::Token => "token",
            Self::Encrypt => "encrypt",
            Self::Keep => "keep",
        }
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|action| action.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no action; there are: {names}")
        })
    }
}

/// How much of what was taken out of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    counts: [u32; Class::COUNT],
    /// Whether the rest was left out because there was too much.
    pub(super) is_cut: bool,
}

impl Report {
    pub(super) fn count(&mut self, class: Class) {
        let count = &mut self.counts[class.index()];
        *count = count.saturating_add(1);
    }

    /// How often something of that class was found.
    #[must_use]
    pub fn of(&self, class: Class) -> u32 {
        self.counts[class.index()]
    }

    /// Whether something was taken out or left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts what another counted too.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.is_cut |= other.is_cut;
    }
}

/// As members of a JSON object.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for class in Class::ALL {
            let count = self.of(class);
            if count > 0 {
                write!(f, "{comma}\"{}\":{count}", class.name())?;
                comma = ",";
            }
        }
        if self.is_cut {
            write!(f, "{comma}\"cut\":1")?;
        }
        Ok(())
    }
}
