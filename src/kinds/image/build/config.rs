//! The configuration of an image: merges ours into that of its base.
//!
//! Values in, a JSON document out. It never uses the clock: the creation time is the
//! epoch.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::kinds::image::build::layer::Layer;
use crate::kinds::image::build::{ImageConfig, ImageError, ImageSpec};
use crate::oci::Platform;

const EPOCH: &str = "1970-01-01T00:00:00Z";

/// Keys of a base's configuration that its descendants inherit.
const INHERITED: [&str; 3] = ["author", "os.features", "os.version"];

/// The JSON document of `spec` merged into the base's document, which is empty without
/// a base.
pub(crate) fn merged(
    spec: &ImageSpec,
    platform: &Platform,
    base: &Map<String, Value>,
    base_layers: usize,
    layers: &[Layer],
) -> Result<Value, ImageError> {
    let wrong = |what: String| ImageError::Base { what };
    let mut document = Map::new();
    for key in INHERITED {
        if let Some(value) = base.get(key) {
            document.insert(key.to_owned(), value.clone());
        }
    }
    for (key, wanted) in [
        ("architecture", &platform.architecture),
        ("os", &platform.os),
    ] {
        let found = base.get(key).and_then(Value::as_str);
        if spec.base.is_some() && found != Some(wanted) {
            let found = found.unwrap_or("none");
            return Err(wrong(format!(
                "has {key} `{found}`, expected `{wanted}`: choose a base for {platform}"
            )));
        }
        document.insert(key.to_owned(), json!(wanted));
    }
    let variant = platform.variant.as_ref().map(|variant| json!(variant));
    if let Some(variant) = variant.or_else(|| base.get("variant").cloned()) {
        document.insert("variant".to_owned(), variant);
    }
    document.insert("created".to_owned(), json!(EPOCH));
    let inherited = base.get("config").and_then(Value::as_object);
    let config = runtime(&spec.config, inherited.cloned().unwrap_or_default())?;
    document.insert("config".to_owned(), Value::Object(config));

    let ids = base.get("rootfs").and_then(|rootfs| rootfs.get("diff_ids"));
    let mut ids = ids.and_then(Value::as_array).cloned().unwrap_or_default();
    if ids.len() != base_layers {
        return Err(wrong(format!(
            "has {base_layers} layers but {} diff_ids: rebuild the base image",
            ids.len()
        )));
    }
    ids.extend(layers.iter().map(|layer| json!(layer.diff_id)));
    document.insert(
        "rootfs".to_owned(),
        json!({"type": "layers", "diff_ids": ids}),
    );
    document.insert(
        "history".to_owned(),
        Value::Array(history(spec, base, base_layers)),
    );
    Ok(Value::Object(document))
}

/// At least one entry for each layer, because some readers count them.
fn history(spec: &ImageSpec, base: &Map<String, Value>, base_layers: usize) -> Vec<Value> {
    let is_layer = |entry: &&Value| entry.get("empty_layer") != Some(&Value::Bool(true));
    let known = base.get("history").and_then(Value::as_array);
    let mut entries = known
        .filter(|entries| entries.iter().filter(is_layer).count() == base_layers)
        .cloned()
        .unwrap_or_else(|| {
            vec![json!({"created": EPOCH, "created_by": "unknown (base image)"}); base_layers]
        });
    entries.extend(spec.layers.iter().map(|layer| {
        let created_by = format!("jackal image: layer to {}", layer.to);
        json!({"created": EPOCH, "created_by": created_by})
    }));
    entries
}

/// The runtime settings of a container.
fn runtime(
    ours: &ImageConfig,
    mut config: Map<String, Value>,
) -> Result<Map<String, Value>, ImageError> {
    let mut set = |key: &str, value: Value| config.insert(key.to_owned(), value);
    if !ours.entrypoint.is_empty() {
        set("Entrypoint", json!(ours.entrypoint));
        // The base's arguments belong to the base's program.
        set("Cmd", Value::Null);
    }
    if !ours.cmd.is_empty() {
        set("Cmd", json!(ours.cmd));
    }
    if !ours.user.is_empty() {
        set("User", json!(ours.user));
    }
    if !ours.workdir.is_empty() {
        set("WorkingDir", json!(ours.workdir));
    }
    if config.get("Cmd") == Some(&Value::Null) {
        config.remove("Cmd");
    }
    if !ours.env.is_empty() {
        let known = config.get("Env").and_then(Value::as_array);
        let env = variables(known.map_or(&[], Vec::as_slice), &ours.env)?;
        config.insert("Env".to_owned(), json!(env));
    }
    let labels = ours.labels.iter().map(|(k, v)| (k.clone(), json!(v)));
    add(&mut config, "Labels", labels.collect());
    let ports = ours.ports.iter().map(|text| Ok((port(text)?, json!({}))));
    add(
        &mut config,
        "ExposedPorts",
        ports.collect::<Result<_, ImageError>>()?,
    );
    Ok(config)
}

fn add(config: &mut Map<String, Value>, key: &str, values: Map<String, Value>) {
    if values.is_empty() {
        return;
    }
    match config.get_mut(key) {
        Some(Value::Object(known)) => known.extend(values),
        _ => {
            config.insert(key.to_owned(), Value::Object(values));
        }
    }
}

/// The base's variables in their order with our values, then new ones, sorted.
fn variables(base: &[Value], ours: &BTreeMap<String, String>) -> Result<Vec<String>, ImageError> {
    let unusable = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
    if let Some(name) = ours.keys().find(unusable) {
        return Err(ImageError::Variable(name.clone()));
    }
    let name_of = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
    let mut lines: Vec<String> = Vec::new();
    for line in base.iter().filter_map(Value::as_str) {
        let name = name_of(line);
        lines.push(match ours.get(&name) {
            Some(value) => format!("{name}={value}"),
            None => line.to_owned(),
        });
    }
    let known: Vec<String> = lines.iter().map(|line| name_of(line)).collect();
    let new = ours.iter().filter(|(name, _)| !known.contains(name));
    lines.extend(new.map(|(name, value)| format!("{name}={value}")));
    Ok(lines)
}

/// `8080` and `8080/tcp` are the same port.
fn port(text: &str) -> Result<String, ImageError> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    match number.parse::<u16>() {
        Ok(number) if digits && number > 0 && matches!(protocol, "tcp" | "udp" | "sctp") => {
            Ok(format!("{number}/{protocol}"))
        }
        _ => Err(ImageError::Port(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_entrypoint_drops_the_bases_arguments_and_the_rest_is_merged() {
        let base = json!({
            "Env": ["PATH=/bin", "A=1"], "Cmd": ["sh"], "StopSignal": "SIGINT",
            "Labels": {"x": "1", "y": "1"}, "ExposedPorts": {"80/tcp": {}}
        });
        let ours = ImageConfig {
            entrypoint: vec!["/app".into()],
            env: [("A", "2"), ("B", "3")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            labels: [("y".to_owned(), "2".to_owned())].into(),
            ports: vec!["53/udp".into(), "8080".into()],
            ..ImageConfig::default()
        };
        let config = runtime(&ours, base.as_object().unwrap().clone()).unwrap();
        let expected = json!({
            "Entrypoint": ["/app"], "Env": ["PATH=/bin", "A=2", "B=3"],
            "StopSignal": "SIGINT", "Labels": {"x": "1", "y": "2"},
            "ExposedPorts": {"53/udp": {}, "80/tcp": {}, "8080/tcp": {}}
        });
        assert_eq!(Value::Object(config), expected);
    }

    #[test]
    fn odd_ports_and_variables_are_refused() {
        for text in ["", "0", "65536", "+80", "80/http", "80/tcp/x", "a"] {
            assert!(port(text).is_err(), "{text}");
        }
        for name in ["", "A=B"] {
            let ours = BTreeMap::from([(name.to_owned(), String::new())]);
            assert!(variables(&[], &ours).is_err(), "{name}");
        }
    }
}
