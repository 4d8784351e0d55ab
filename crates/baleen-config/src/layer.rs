//! Settings that merge leaf by leaf: what one table says, over what the table around it says.
//!
//! Tested: in `tests/it/`.

/// A struct of optional settings with their places, and `over`: what this one leaves open, from another.
macro_rules! layer {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $name {
            $(pub(crate) $field: Option<$crate::span::At<$type>>,)*
        }

        impl $name {
            pub(crate) fn over(&self, below: &$name) -> $name {
                $name { $($field: self.$field.clone().or_else(|| below.$field.clone()),)* }
            }
        }
    };
}
pub(crate) use layer;

/// Puts a setting that is there into a parameter.
pub(crate) fn set<T: Clone>(into: &mut T, from: &Option<crate::span::At<T>>) {
    if let Some(at) = from {
        *into = at.value.clone();
    }
}
