//! The one walk over an action, and the key that is hashed from it.
//!
//! `explain` reads through the same walk, so a key can depend on nothing that
//! an explanation does not show.

use std::fmt;
use std::str::FromStr;

use super::{Action, InputNode};
use crate::oci::Digest;

/// Version of the walk below, in every key. Raise it when the walk changes.
pub const KEY_FORMAT: u32 = 2;

/// One value met on the walk.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Digest(&'a Digest),
    Number(u32),
    Flag(bool),
}

/// Receives the fields of an action in the one fixed order.
pub(super) trait FieldSink {
    /// Takes one value; `label` identifies the entry of the field.
    fn put(&mut self, field: &'static str, label: &str, value: Value<'_>);
}

impl Action {
    /// Visits every field the key covers, in the one fixed order.
    pub(super) fn visit(&self, sink: &mut impl FieldSink) {
        sink.put("key-format", "", Value::Number(KEY_FORMAT));
        sink.put("kind", "", Value::Text(&self.kind));
        if let Some(platform) = &self.platform {
            sink.put("platform", "", Value::Text(&platform.to_string()));
        }
        sink.put("format", "", Value::Number(self.format));
        sink.put("salt", "", Value::Text(&self.salt));
        for (name, digest) in &self.tools {
            sink.put("tool", name, Value::Digest(digest));
        }
        for (place, argument) in self.argv.iter().enumerate() {
            sink.put("argv", &place.to_string(), Value::Text(argument));
        }
        for (name, value) in &self.env {
            sink.put("env", name, Value::Text(value));
        }
        for name in &self.pass_through {
            sink.put("pass-through", name, Value::Flag(true));
        }
        self.visit_inputs(sink);
        for (place, output) in self.outputs.iter().enumerate() {
            sink.put("output", &place.to_string(), Value::Text(output));
        }
        for (name, value) in self.settings.iter() {
            sink.put("setting", name, Value::Text(value));
        }
    }

    fn visit_inputs(&self, sink: &mut impl FieldSink) {
        self.inputs.each(|path, blob, node| match node {
            InputNode::File(file) if blob => {
                sink.put("input.blob", path, Value::Digest(&file.digest));
            }
            InputNode::File(file) => {
                sink.put("input.file", path, Value::Digest(&file.digest));
                sink.put("input.executable", path, Value::Flag(file.executable));
                sink.put("input.private", path, Value::Flag(file.private));
            }
            InputNode::Link(target) => {
                sink.put("input.symlink", path, Value::Text(target));
            }
            InputNode::Directory(directory) => {
                sink.put("input.directory", path, Value::Flag(directory.private));
            }
        });
    }

    /// The key under which this action's result is stored.
    #[must_use]
    pub fn key(&self) -> ActionKey {
        let mut sink = KeySink(Buffered::default());
        self.visit(&mut sink);
        ActionKey(sink.0.finish())
    }
}

/// Hashes field, label and value, each after its length as 8 little-endian bytes.
struct KeySink<S>(S);

/// Where encoded bytes go: the hasher, or a test's buffer.
trait Bytes {
    fn write(&mut self, bytes: &[u8]);
}

/// Hands the hasher whole blocks: a key is made of very many short pieces.
#[derive(Default)]
struct Buffered {
    hasher: blake3::Hasher,
    waiting: Vec<u8>,
}

impl Buffered {
    const BYTES: usize = 16 << 10;

    fn finish(mut self) -> [u8; 32] {
        *self.hasher.update(&self.waiting).finalize().as_bytes()
    }
}

impl Bytes for Buffered {
    fn write(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= Self::BYTES {
            self.hasher.update(&self.waiting);
            self.waiting.clear();
        }
    }
}

impl<S: Bytes> KeySink<S> {
    fn piece(&mut self, bytes: &[u8]) {
        self.0.write(&(bytes.len() as u64).to_le_bytes());
        self.0.write(bytes);
    }
}

impl<S: Bytes> FieldSink for KeySink<S> {
    fn put(&mut self, field: &'static str, label: &str, value: Value<'_>) {
        self.piece(field.as_bytes());
        self.piece(label.as_bytes());
        match value {
            Value::Text(text) => self.piece(text.as_bytes()),
            Value::Digest(digest) => self.piece(digest.as_bytes()),
            Value::Number(number) => self.piece(&number.to_le_bytes()),
            Value::Flag(flag) => self.piece(&[u8::from(flag)]),
        }
    }
}

/// The identity of an [`Action`]: equal keys promise equal outputs.
///
/// BLAKE3 of the encoded walk, printed as 64 lowercase hex digits. A [`Digest`] names
/// bytes and an `ActionKey` names work, so they are separate types.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionKey([u8; 32]);

impl ActionKey {
    /// The 32 raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an action key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an action key: expected 64 lowercase hex digits")]
pub struct ActionKeyError(String);

impl FromStr for ActionKey {
    type Err = ActionKeyError;

    fn from_str(text: &str) -> Result<Self, ActionKeyError> {
        Digest::from_hex(text)
            .map(|digits| Self(*digits.as_bytes()))
            .map_err(|_| ActionKeyError(text.chars().take(100).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{InputDirectory, InputFile, InputTree};

    impl Bytes for Vec<u8> {
        fn write(&mut self, bytes: &[u8]) {
            self.extend_from_slice(bytes);
        }
    }

    fn action() -> Action {
        let mut action = Action::new("run", 1);
        action.argv = vec!["cc".into(), "ab".into(), "c".into()];
        action.env.insert("FOO".into(), "one".into());
        action.inputs = tree(&[("bin/x", file(b"x")), ("a", file(b"a"))]);
        action
    }

    fn file(bytes: &[u8]) -> InputNode {
        InputNode::File(InputFile::plain(Digest::of(bytes), bytes.len() as u64))
    }

    fn tree(entries: &[(&str, InputNode)]) -> std::sync::Arc<InputTree> {
        let mut tree = InputTree::default();
        for (path, node) in entries {
            tree.insert(path, node.clone()).unwrap();
        }
        tree.into()
    }

    fn key_with(change: impl FnOnce(&mut Action)) -> ActionKey {
        let mut action = action();
        change(&mut action);
        action.key()
    }

    #[test]
    fn swapped_arguments_change_the_key() {
        assert_ne!(key_with(|_| ()), key_with(|a| a.argv.swap(1, 2)));
    }

    #[test]
    fn a_boundary_moved_between_two_arguments_changes_the_key() {
        let moved = key_with(|a| a.argv = vec!["cc".into(), "a".into(), "bc".into()]);
        assert_ne!(key_with(|_| ()), moved);
    }

    #[test]
    fn each_property_of_an_input_changes_the_key() {
        let plain = InputFile::plain(Digest::of(b"x"), 1);
        let nodes = [
            InputNode::File(plain),
            InputNode::File(InputFile::plain(Digest::of(b"y"), 1)),
            InputNode::File(InputFile {
                executable: true,
                ..plain
            }),
            InputNode::File(InputFile {
                private: true,
                ..plain
            }),
            InputNode::Link("one".into()),
            InputNode::Link("two".into()),
            InputNode::Directory(InputDirectory::empty(false)),
            InputNode::Directory(InputDirectory::empty(true)),
        ];
        let count = nodes.len();
        let keys = nodes.map(|node| key_with(|a| a.inputs = tree(&[("x", node)])));
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), count);
        let mut blob = InputTree::default();
        blob.insert_blob("x", plain.digest, 1).unwrap();
        assert!(!keys.contains(&key_with(|a| a.inputs = blob.into())));
    }

    #[test]
    fn every_other_field_changes_the_key() {
        let keys = [
            key_with(|_| ()),
            key_with(|a| a.kind = "component".into()),
            key_with(|a| a.platform = "linux/arm64".parse().ok()),
            key_with(|a| a.format = 2),
            key_with(|a| a.salt = "x".into()),
            key_with(|a| {
                a.env.insert("FOO".into(), "two".into());
            }),
            key_with(|a| {
                a.tools.insert("cc".into(), Digest::of(b"1"));
            }),
            key_with(|a| {
                a.pass_through.insert("HOME".into());
            }),
            key_with(|a| a.outputs.push("out".into())),
            key_with(|a| a.settings.put("s", 1)),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn the_order_in_which_inputs_were_found_does_not_change_the_key() {
        let (one, other) = (("a", file(b"a")), ("bin/x", file(b"x")));
        let keys = [[one.clone(), other.clone()], [other, one]]
            .map(|entries| key_with(|a| a.inputs = tree(&entries)));
        assert_eq!(keys[0], keys[1]);
    }

    #[test]
    fn the_encoding_is_the_documented_one() {
        let mut action = Action::new("run", 7);
        action.argv = vec!["true".into()];
        let mut sink = KeySink(Vec::new());
        action.visit(&mut sink);
        let fields: [(&str, &str, &[u8]); 5] = [
            ("key-format", "", &[2, 0, 0, 0]),
            ("kind", "", b"run"),
            ("format", "", &[7, 0, 0, 0]),
            ("salt", "", b""),
            ("argv", "0", b"true"),
        ];
        let mut expected = Vec::new();
        for (field, label, value) in fields {
            for piece in [field.as_bytes(), label.as_bytes(), value] {
                expected.push(u8::try_from(piece.len()).unwrap());
                expected.extend([0; 7]);
                expected.extend(piece);
            }
        }
        assert_eq!(sink.0, expected);
        assert_eq!(action.key().0, *blake3::hash(&expected).as_bytes());
        assert_eq!(
            action.key().to_string(),
            "da68209176e84a44b29b5c3cd5b779193ea1565c54e92ab0a45c1d46024ebe4a"
        );
    }

    #[test]
    fn a_printed_key_parses_back() {
        let key = action().key();
        assert_eq!(key.to_string().parse(), Ok(key));
        assert!("sha256:00".parse::<ActionKey>().is_err());
    }
}
