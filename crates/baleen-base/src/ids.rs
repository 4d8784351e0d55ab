//! Identifiers that cross the seam between policy and a driver.
//!
//! Dense ids (`ClusterId`, `EndpointId`, ...) index tables and mean the same in every worker of a process: the control side
//! hands them out. Ids of things that come and go (`CallId`, `ConnId`, `ClientId`) carry a generation, so a late event for
//! something that has ended is recognised and ignored. Tested: where they are used.

use serde::{Deserialize, Serialize};

macro_rules! dense {
    ($($(#[$doc:meta])* $name:ident($int:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        pub struct $name(pub $int);

        impl $name {
            /// As an index into a table.
            #[must_use]
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

dense! {
    /// A worker of this process, counted from 0.
    WorkerId(u16);
    /// A place where connections are accepted.
    ListenerId(u16);
    /// Settings of a logical name.
    RouteId(u32);
    /// A tree of clusters that a logical name is bound to.
    TargetId(u32);
    /// One concrete destination.
    ClusterId(u32);
    /// One address in one cluster. Never used again for another address while the process lives.
    EndpointId(u32);
}

macro_rules! generational {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        pub struct $name {
            /// Slot in the owner's table.
            pub slot: u32,
            /// How often that slot was used before.
            pub generation: u32,
        }
    )*};
}

generational! {
    /// One request. Made by the core.
    CallId;
    /// One connection to an upstream. Made by the driver.
    ConnId;
    /// One connection from a downstream. Made by the driver.
    ClientId;
}

/// One try of a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AttemptId {
    /// The call it belongs to.
    pub call: CallId,
    /// Counted from 1. A connection that was found dead before anything was sent is replaced under a new number, too.
    pub nth: u16,
}
