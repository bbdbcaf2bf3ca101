//! Protobuf's JSON mapping, by reflection over the descriptors that are compiled in.

use anyhow::{Context as _, bail};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

use crate::grpc::proto;
use crate::json;

/// Members whose own members come from a map, which has no order of its own.
const MAPS: [&str; 2] = ["attributes", "company_hashes"];

fn descriptor(full_name: &str) -> anyhow::Result<MessageDescriptor> {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).context("the compiled protos cannot be read")?;
    pool.get_message_by_name(full_name).with_context(|| format!("{full_name} is no message"))
}

fn of(full_name: &str, message: &impl Message) -> anyhow::Result<Value> {
    let dynamic = DynamicMessage::decode(descriptor(full_name)?, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    let mut value = dynamic.serialize_with_options(serde_json::value::Serializer, &options)?;
    tidy(&mut value);
    Ok(value)
}

/// The message as JSON on one line: names as in the .proto files, fields with their defaults too, equal for equal
/// messages.
pub(super) fn line(name: &str, message: &impl Message) -> anyhow::Result<String> {
    let full_name = if name.contains('.') { name.to_owned() } else { format!("countersign.v1.{name}") };
    let value = of(&full_name, message)?;
    Ok(format!("{value}\n"))
}

/// The value of an attribute as JSON: `5` and `"5"` differ.
pub(super) fn value(value: &prost_types::Value) -> anyhow::Result<String> {
    let mut value = of("google.protobuf.Value", value)?;
    value.sort_all_objects();
    Ok(value.to_string())
}

/// Sorts what has no order, and writes integers as integers: `500`, never `500.0`.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if MAPS.contains(&name.as_str()) {
                    member.sort_all_objects();
                }
                tidy(member);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Number(number) => {
            if let Some(exact) = number.as_f64().and_then(json::exact) {
                *number = exact;
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The message that the JSON says, names as in the .proto files or in camel case. Members that come twice or are
/// unknown are mistakes.
pub(super) fn parse<M: Message + Default>(name: &str, text: &str) -> anyhow::Result<M> {
    let _well_formed: Value = serde_json::from_str(text).context("this is not JSON")?;
    let Some(object) = json::object(text.as_bytes()) else {
        bail!("this is not a JSON object, or a member comes twice");
    };
    let dynamic = DynamicMessage::deserialize(descriptor(&format!("countersign.v1.{name}"))?, Value::Object(object))
        .with_context(|| format!("this is not a countersign.v1.{name}"))?;
    Ok(M::decode(dynamic.encode_to_vec().as_slice())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_and_written_by_the_mapping() -> anyhow::Result<()> {
        let text =
            r#"{"userId": "u1", "created_at": "2025-05-06T12:00:00Z", "attributes": {"b": 1, "a": [1.5, null, true]}}"#;
        let identity: proto::Identity = parse("Identity", text)?;
        assert_eq!(
            line("Identity", &identity)?,
            concat!(
                r#"{"user_id":"u1","email":"","name":"","profile_picture":"","locale":"","created_at":"2025-05-06T12:00:00Z","#,
                r#""companies":[],"attributes":{"a":[1.5,null,true],"b":1}}"#,
                "\n"
            )
        );
        Ok(())
    }

    #[test]
    fn what_is_no_identity_is_a_mistake() {
        for text in ["", "[]", "{", r#"{"user_id": 1}"#, r#"{"nick": "x"}"#, r#"{"user_id": "a", "user_id": "b"}"#] {
            assert!(parse::<proto::Identity>("Identity", text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_enum_is_written_by_its_name() -> anyhow::Result<()> {
        let finding = proto::Finding { result: proto::FindingResult::Failed.into(), ..Default::default() };
        assert!(line("Finding", &finding)?.contains(r#""result":"FINDING_RESULT_FAILED""#));
        Ok(())
    }
}
