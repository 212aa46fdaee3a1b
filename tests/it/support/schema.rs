//! JSON Schema, as far as the description of the API uses it; a keyword that is not known here is a fault.

use jiff::Timestamp;
use serde_json::Value;

/// What contradicts `schema` in `value`, each with its place; references lead into `document`.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(document, schema, value, "$", &mut faults);
    faults
}

fn check(document: &Value, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    let Some(keywords) = schema.as_object() else { return faults.push(format!("{place}: no schema: {schema}")) };
    for (keyword, wanted) in keywords {
        let is_met = match keyword.as_str() {
            "$ref" => {
                let pointer = wanted.as_str().and_then(|reference| reference.strip_prefix('#')).unwrap_or_default();
                match document.pointer(pointer) {
                    Some(schema) => check(document, schema, value, place, faults),
                    None => faults.push(format!("{place}: {wanted} leads nowhere")),
                }
                true
            }
            "description" | "default" => true,
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|each| is_of(each, value)),
                each => is_of(each, value),
            },
            "enum" => wanted.as_array().is_some_and(|values| values.contains(value)),
            "oneOf" => {
                let schemas = wanted.as_array().map(Vec::as_slice).unwrap_or_default();
                schemas.iter().filter(|schema| self::faults(document, schema, value).is_empty()).count() == 1
            }
            "format" if wanted == "date-time" => value.as_str().is_none_or(|text| text.parse::<Timestamp>().is_ok()),
            "minimum" => value.as_f64().is_none_or(|number| Some(number) >= wanted.as_f64()),
            "maximum" => value.as_f64().is_none_or(|number| Some(number) <= wanted.as_f64()),
            "maxLength" => value.as_str().is_none_or(|text| Some(text.chars().count() as u64) <= wanted.as_u64()),
            "required" => {
                let names = wanted.as_array().map(Vec::as_slice).unwrap_or_default();
                let is_there = |name: &Value| value.get(name.as_str().unwrap_or_default()).is_some();
                !value.is_object() || names.iter().all(is_there)
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, wanted, item, &format!("{place}[{index}]"), faults);
                }
                true
            }
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = wanted.get(name) {
                        check(document, schema, member, &format!("{place}.{name}"), faults);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |name: &str| keywords.get("properties").is_some_and(|known| known.get(name).is_some());
                let others = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
                for (name, member) in others {
                    match wanted {
                        Value::Bool(false) => faults.push(format!("{place}.{name}: is not described")),
                        schema => check(document, schema, member, &format!("{place}.{name}"), faults),
                    }
                }
                true
            }
            _ => {
                faults.push(format!("{place}: the keyword {keyword}: {wanted} is not known to the tests"));
                true
            }
        };
        if !is_met {
            faults.push(format!("{place}: {keyword} {wanted} is not met by {value}"));
        }
    }
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(schema: &Value, good: &[Value], bad: &[Value]) {
        let document = json!({ "n": { "type": "integer", "minimum": 1, "maximum": 9 } });
        for value in good {
            assert_eq!(faults(&document, schema, value), [""; 0], "{schema} {value}");
        }
        for value in bad {
            assert!(!faults(&document, schema, value).is_empty(), "{schema} {value}");
        }
    }

    #[test]
    fn each_keyword_refuses_what_contradicts_it() {
        check(
            &json!({ "$ref": "#/n" }),
            &[json!(1), json!(9)],
            &[json!(0), json!(10), json!(1.5), json!("1"), json!(null)],
        );
        check(&json!({ "type": ["string", "null"] }), &[json!(""), json!(null)], &[json!(1), json!([]), json!({})]);
        check(&json!({ "enum": ["a", null] }), &[json!("a"), json!(null)], &[json!("b")]);
        check(&json!({ "oneOf": [{ "type": "null" }, { "$ref": "#/n" }] }), &[json!(null), json!(2)], &[json!("")]);
        check(&json!({ "format": "date-time" }), &[json!("2024-01-15T08:30:00.123Z")], &[json!("2024-01-15")]);
        check(&json!({ "maxLength": 1 }), &[json!("é")], &[json!("ab")]);
        check(
            &json!({ "type": "array", "items": { "$ref": "#/n" } }),
            &[json!([]), json!([1])],
            &[json!([1, 0]), json!({})],
        );
        let object = json!({ "type": "object", "properties": { "a": { "$ref": "#/n" } }, "required": ["a"], "additionalProperties": false });
        check(&object, &[json!({ "a": 1 })], &[json!({}), json!({ "a": 0 }), json!({ "a": 1, "b": 1 })]);
        check(&json!({ "additionalProperties": { "$ref": "#/n" } }), &[json!({ "x": 1 })], &[json!({ "x": 0 })]);
        check(&json!({ "anyOf": [] }), &[], &[json!(1)]);
        check(&json!({ "$ref": "#/m" }), &[], &[json!(1)]);
    }
}
