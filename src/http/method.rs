//! Request methods (RFC 9110, section 9; RFC 5789).

/// A method that an application can be asked for.
///
/// Not among them, and always answered with 405: `CONNECT`, which asks for a tunnel, and `TRACE`, which would send back
/// what another party put into the request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Method {
    /// The whole response.
    Get,
    /// The response without its body.
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `OPTIONS`, for a path or for `*`.
    Options,
    /// `PATCH`
    Patch,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Get, Self::Head, Self::Post, Self::Put, Self::Delete, Self::Options, Self::Patch];

    /// The method as it stands in a request.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
        }
    }

    /// The method of this name, which is case-sensitive.
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name().as_bytes() == name)
    }

    /// Whether its meaning is to read only (RFC 9110, section 9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }
}

/// A set of methods: those that an application answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Methods(u8);

impl Methods {
    /// `GET` and `HEAD`, which every application answers (RFC 9110, section 9.1).
    pub const GET_AND_HEAD: Self = Self(1 << Method::Get as u8 | 1 << Method::Head as u8);

    /// Adds a method.
    #[must_use]
    pub const fn with(self, method: Method) -> Self {
        Self(self.0 | 1 << method as u8)
    }

    /// Whether a method is one of them.
    #[inline]
    pub const fn has(self, method: Method) -> bool {
        self.0 >> method as u8 & 1 == 1
    }

    /// All of them, in the order of [`Method::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Method> {
        Method::ALL.into_iter().filter(move |&method| self.has(method))
    }
}

impl Default for Methods {
    fn default() -> Self {
        Self::GET_AND_HEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_get_and_head_and_what_is_added() {
        let methods = Methods::default().with(Method::Post).with(Method::Patch).with(Method::Post);
        assert!(methods.iter().eq([Method::Get, Method::Head, Method::Post, Method::Patch]));
        assert!(methods.has(Method::Get) && !methods.has(Method::Put));
    }

    #[test]
    fn a_method_is_found_by_its_name_as_it_is_written() {
        for method in Method::ALL {
            assert_eq!(Method::from_name(method.name().as_bytes()), Some(method));
        }
        for other in ["get", "TRACE", "CONNECT", "", "GE", "GETS"] {
            assert_eq!(Method::from_name(other.as_bytes()), None, "{other}");
        }
    }
}
