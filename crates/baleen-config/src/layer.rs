//! Settings that merge leaf by leaf: what one table says, over what the table around it says.
//!
//! Tested: in `tests/it/`.

/// A struct of optional settings with their places and of groups of such, and `over`: what this one leaves open, from another.
macro_rules! layer {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* } $({ $($group:ident: $layer:ty,)* })?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $name {
            $(pub(crate) $field: Option<$crate::span::At<$type>>,)*
            $($(pub(crate) $group: $layer,)*)?
        }

        impl $name {
            pub(crate) fn over(&self, below: &$name) -> $name {
                $name {
                    $($field: self.$field.clone().or_else(|| below.$field.clone()),)*
                    $($($group: self.$group.over(&below.$group),)*)?
                }
            }
        }
    };
}
pub(crate) use layer;

use crate::span::{At, Place};

/// Puts a setting that is there into a parameter.
pub(crate) fn set<T: Clone>(into: &mut T, from: &Option<At<T>>) {
    if let Some(at) = from {
        *into = at.value.clone();
    }
}

/// The value of a setting, when it is there.
pub(crate) fn get<T: Clone>(from: &Option<At<T>>) -> Option<T> {
    from.as_ref().map(|at| at.value.clone())
}

/// Whether a policy that can be turned off is on; `default` when nothing is said.
pub(crate) fn is_on(on: &Option<At<bool>>, default: bool) -> bool {
    on.as_ref().map_or(default, |at| at.value)
}

/// A policy is turned on where its table stands.
pub(crate) fn on_at(place: &Place) -> Option<At<bool>> {
    Some(At::new(true, place))
}
