//! The only place that knows protobuf and gRPC status codes.

pub mod admin;
pub mod answer;
pub mod caller;
pub mod codec;
pub mod convert;
pub mod deadline;
pub mod migration;
pub mod request_id;
pub mod rescue;
pub mod service;
pub mod signals;
pub mod status;

#[allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::disallowed_types,
    clippy::use_self,
    clippy::too_many_lines,
    reason = "generated; documented in proto/"
)]
pub mod proto {
    //! What `build.rs` makes of `proto/`.

    // The packages as the files have them: the generated code of one names the other by its path.
    pub mod countersign {
        pub mod v1 {
            tonic::include_proto!("countersign.v1");
        }
        pub mod admin {
            pub mod v1 {
                tonic::include_proto!("countersign.admin.v1");
            }
        }
    }
    pub use self::countersign::admin::v1 as admin;
    pub use self::countersign::v1::*;

    /// The compiled protos, for reflection and for JSON.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/countersign.bin"));
}
