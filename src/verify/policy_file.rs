//! The policy file: the signers and attestations that packages need.
//!
//! The caller reads the key files, so that this module opens no file.

use globset::Glob;
use serde_json::{Value, json};

use super::policy::{RequiredAttestation, Rule, Signer};
use crate::signing::{Identity, PublicKey};
use crate::text::with_causes;
use crate::yaml::{Fields, Mistake, Mistakes, Node, SourceText, Span, parse_only};

/// The units of ages, in seconds.
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)];

const IDENTITY: [&str; 2] = ["identity", "issuer"];

/// Parses a policy file; `key` loads the key at a path as written in the file.
///
/// # Errors
///
/// Every mistake in the file.
pub fn parse_policy(
    source: &SourceText,
    key: &dyn Fn(&str) -> Result<PublicKey, String>,
) -> Result<Vec<Rule>, Mistakes> {
    let mut mistakes = Vec::new();
    let mut rules = Vec::new();
    if let Some(root) = parse_only(source)? {
        let mut fields = Fields::new(&root, "the policy", &mut mistakes);
        fields.filled(&mut mistakes);
        let list = fields.list("rules", &mut mistakes);
        if list.is_empty() {
            mistakes.push(Mistake::new(
                root.span,
                "the policy has no rules",
                "Add `rules:` with a list of packages and their signers.",
            ));
        }
        for node in list {
            rules.push(rule(node, key, &mut mistakes));
        }
        fields.finish(&mut mistakes);
    } else {
        mistakes.push(Mistake::new(
            Span::START,
            "the policy is empty",
            "Add `rules:` with a list of packages and their signers.",
        ));
    }
    Mistakes::none_or(rules, source, mistakes)
}

/// The JSON Schema (2020-12) of a policy file, with a line break at its end.
#[must_use]
pub fn policy_schema() -> String {
    // Not blank: a missing value must not widen a rule.
    let text =
        |description: &str| json!({"type": "string", "pattern": "\\S", "description": description});
    let object = |required: &[&str], properties: Value| {
        json!({
            "type": "object",
            "required": required,
            "properties": properties,
            "additionalProperties": false,
        })
    };
    let list = |items: Value, description: &str| json!({"type": "array", "minItems": 1, "items": items, "description": description});
    let whom = [
        (
            "identity",
            text("The identity that the certificate must name."),
        ),
        (
            "identityRegexp",
            text(
                "A regular expression for the whole identity. With `^` and without `$`, it need only match the beginning.",
            ),
        ),
    ];
    let by = [
        ("issuer", text("The issuer of that identity.")),
        (
            "issuerRegexp",
            text(
                "A regular expression for the whole issuer. With `^` and without `$`, it need only match the beginning.",
            ),
        ),
    ];
    let mut forms = vec![object(
        &["key"],
        json!({"key": text("A public key file, relative to this file, or a key reference.")}),
    )];
    for (subject, shown) in &whom {
        for (issuer, pattern) in &by {
            let properties = json!({*subject: shown, *issuer: pattern});
            forms.push(object(&[subject, issuer], properties));
        }
    }
    let attestation = object(
        &["predicateType"],
        json!({
            "predicateType": text("The predicate type, such as https://slsa.dev/provenance/v1."),
            "builder": text("The builder that the provenance must name."),
        }),
    );
    let age = json!({
        "type": "string",
        "pattern": "^[0-9]+[smhd]$",
        "description": "Maximum age of the signature or, for keys, of the build.",
    });
    let rule = object(
        &["signers"],
        json!({
            "packages": text("Package names, with `*` as a wildcard; all packages if omitted."),
            "signers": list(json!({"oneOf": forms}), "The package must be signed by one of these."),
            "attestations": list(attestation, "All of these must be present, each made by one of the signers."),
            "maxAge": age,
        }),
    );
    let mut schema = object(
        &["rules"],
        json!({"rules": list(rule, "The first rule that matches a package's name applies.")}),
    );
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "Signers that jackal trusts".into();
    format!("{schema:#}\n")
}

fn rule(
    node: &Node,
    key: &dyn Fn(&str) -> Result<PublicKey, String>,
    mistakes: &mut Vec<Mistake>,
) -> Rule {
    let mut fields = Fields::new(node, "a rule", mistakes);
    // A missing value, say of a template, must not widen the rule.
    fields.filled(mistakes);
    let mut rule = Rule::default();
    if let Some(text) = fields.string("packages", mistakes) {
        match Glob::new(&text) {
            Ok(glob) => rule.packages = Some(glob.compile_matcher()),
            Err(error) => mistakes.push(Mistake::new(
                node.span,
                format!("`packages` is not a pattern: {error}"),
                "Write a name, or a pattern such as `team-*`.",
            )),
        }
    }
    let signers = fields.list("signers", mistakes);
    if signers.is_empty() {
        mistakes.push(Mistake::new(
            node.span,
            "a rule has no signers",
            "Add `signers:` with a `key`, or an `identity` and its `issuer`.",
        ));
    }
    for signer in signers {
        rule.signers.extend(self::signer(signer, key, mistakes));
    }
    for node in fields.list("attestations", mistakes) {
        let mut fields = Fields::new(node, "an attestation", mistakes);
        fields.filled(mistakes);
        let predicate_type = fields.string("predicateType", mistakes);
        let builder = fields.string("builder", mistakes);
        match predicate_type {
            Some(predicate_type) => rule.attestations.push(RequiredAttestation {
                predicate_type,
                builder,
            }),
            None => mistakes.push(Mistake::new(
                node.span,
                "an attestation has no predicateType",
                "Add one, such as `https://slsa.dev/provenance/v1`.",
            )),
        }
        fields.finish(mistakes);
    }
    if let Some(text) = fields.string("maxAge", mistakes) {
        match age(&text) {
            Some(seconds) => rule.max_age = Some(seconds),
            None => mistakes.push(Mistake::new(
                node.span,
                format!("`maxAge` is `{text}`"),
                "Write a number and one of s, m, h, d, such as `90d`.",
            )),
        }
    }
    fields.finish(mistakes);
    rule
}

fn age(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    text.strip_suffix(unit)?
        .parse::<u64>()
        .ok()?
        .checked_mul(*seconds)
}

fn signer(
    node: &Node,
    key: &dyn Fn(&str) -> Result<PublicKey, String>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Signer> {
    let mut fields = Fields::new(node, "a signer", mistakes);
    fields.filled(mistakes);
    let named = fields.string("key", mistakes);
    let [subject, subject_regexp, issuer, issuer_regexp] =
        ["identity", "identityRegexp", "issuer", "issuerRegexp"]
            .map(|name| fields.string(name, mistakes));
    fields.finish(mistakes);
    let identity = Identity::given(
        IDENTITY,
        (subject.as_deref(), subject_regexp.as_deref()),
        (issuer.as_deref(), issuer_regexp.as_deref()),
    );
    let wrong = |what: String, help: &str| Mistake::new(node.span, what, help);
    match (named, identity) {
        (_, Err(error)) => {
            mistakes.push(wrong(
                with_causes(&error),
                "Give both identity and issuer, each once.",
            ));
            None
        }
        (Some(name), Ok(None)) => match key(&name) {
            Ok(key) => Some(Signer::Key { name, key }),
            Err(what) => {
                let help = "Name a public key file, relative to the policy file.";
                mistakes.push(wrong(format!("key `{name}`: {what}"), help));
                None
            }
        },
        (None, Ok(Some(identity))) => Some(Signer::Identity(identity)),
        (Some(_), Ok(Some(_))) => {
            let help = "Split it into two signers; one of them must have signed.";
            mistakes.push(wrong("a signer has both key and identity".to_owned(), help));
            None
        }
        (None, Ok(None)) => {
            let help = "Give a `key`, or an `identity` and its `issuer`.";
            mistakes.push(wrong(
                "a signer has neither key nor identity".to_owned(),
                help,
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::SigningKey;

    fn parsed(text: &str) -> Result<Vec<Rule>, Mistakes> {
        let key = |name: &str| match name {
            "a.pub" => {
                let pkcs8 = SigningKey::generate(crate::signing::Algorithm::Ed25519).unwrap();
                Ok(SigningKey::from_pkcs8(&pkcs8).unwrap().public().clone())
            }
            _ => Err("no such file".to_owned()),
        };
        parse_policy(&SourceText::new("p.yaml", text), &key)
    }

    #[test]
    fn rules_are_read_whole() {
        let rules = parsed(
            "rules:\n- packages: team-*\n  signers: [{key: a.pub}, {identity: i, issuerRegexp: ^x}]\n  maxAge: 2h\n  attestations: [{predicateType: p, builder: b}]\n",
        )
        .unwrap();
        assert_eq!((rules[0].signers.len(), rules[0].max_age), (2, Some(7200)));
        assert!(rules[0].packages.as_ref().unwrap().is_match("team-a"));
        assert_eq!(rules[0].attestations[0].builder.as_deref(), Some("b"));
    }

    #[test]
    fn every_mistake_is_reported_with_its_line() {
        let text = "rules:\n- signers:\n  - key: b.pub\n  - identity: x\n  - {}\n  maxAge: soon\n- packages: \"[\"\n";
        let error = parsed(text).unwrap_err().to_string();
        for part in [
            "p.yaml:3:5: key `b.pub`: no such file",
            "p.yaml:4:5: an identity requires an issuer",
            "p.yaml:5:5: a signer has neither key nor identity",
            "`maxAge` is `soon`",
            "`packages` is not a pattern",
            "a rule has no signers",
        ] {
            assert!(error.contains(part), "{part} not in {error}");
        }
        assert!(parsed("").is_err() && parsed("rules: []\n").is_err());
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn a_value_that_is_missing_is_refused_at_its_place_and_never_widens_a_rule() {
        let good = "{key: a.pub}";
        for (text, place, what) in [
            (
                format!("rules:\n- packages:\n  signers: [{good}]\n"),
                "2:3",
                "`packages`",
            ),
            (
                format!("rules:\n- packages: ~\n  signers: [{good}]\n"),
                "2:3",
                "`packages`",
            ),
            (
                format!("rules:\n- packages: null\n  signers: [{good}]\n"),
                "2:3",
                "`packages`",
            ),
            (
                format!("rules:\n- packages: ''\n  signers: [{good}]\n"),
                "2:3",
                "`packages`",
            ),
            (
                format!("rules:\n- packages: ' \t'\n  signers: [{good}]\n"),
                "2:3",
                "`packages`",
            ),
            (
                format!("rules:\n- packages: !!str\n  signers: [{good}]\n"),
                "2:3",
                "`packages`",
            ),
            (
                format!("x-n: &n\nrules:\n- packages: *n\n  signers: [{good}]\n"),
                "3:3",
                "`packages`",
            ),
            (
                format!("rules:\n- signers: [{good}]\n  maxAge:\n"),
                "3:3",
                "`maxAge`",
            ),
            (
                format!("rules:\n- signers: [{good}]\n  attestations:\n"),
                "3:3",
                "`attestations`",
            ),
            (
                format!("rules:\n- signers: [{good}]\n  attestations: []\n"),
                "3:3",
                "`attestations`",
            ),
            (
                format!("rules:\n- signers: [{good}]\n  attestations: [~]\n"),
                "3:18",
                "an attestation is a null",
            ),
            (
                format!(
                    "rules:\n- signers: [{good}]\n  attestations: [{{predicateType: p, builder: }}]\n"
                ),
                "3:37",
                "`builder`",
            ),
            (
                format!(
                    "rules:\n- signers: [{good}]\n  attestations: [{{predicateType: p, builder: ''}}]\n"
                ),
                "3:37",
                "`builder`",
            ),
            (
                "rules:\n- signers: [{identityRegexp: '', issuer: i}]\n".into(),
                "2:14",
                "`identityRegexp`",
            ),
            (
                "rules:\n- signers: [{identity: i, issuerRegexp: }]\n".into(),
                "2:27",
                "`issuerRegexp`",
            ),
            (
                "rules:\n- signers: [{identity: '', issuer: ' '}]\n".into(),
                "2:14",
                "`identity`",
            ),
            (
                format!("rules:\n- signers: [{good}, ~]\n"),
                "2:27",
                "a signer is a null",
            ),
            (
                format!("rules:\n- signers: [{good}, {{key: }}]\n"),
                "2:28",
                "`key`",
            ),
            ("rules:\n".into(), "1:1", "`rules`"),
            ("rules: [~]\n".into(), "1:9", "a rule is a null"),
            (
                format!("rules:\n- signers: [{good}]\n---\nrules:\n- signers: [{{key: b.pub}}]\n"),
                "4:1",
                "a second YAML document",
            ),
            (
                format!("rules:\n- packages: a\n  packages: b\n  signers: [{good}]\n"),
                "3:3",
                "duplicate key `packages`",
            ),
        ] {
            let error = parsed(&text).map(|_| ()).unwrap_err().to_string();
            let expected = format!("p.yaml:{place}: ");
            let found = error
                .lines()
                .any(|line| line.starts_with(&expected) && line.contains(what));
            assert!(found, "{text}{expected}{what} not in {error}");
        }
        assert!(parsed(&format!("x-note:\nrules:\n- signers: [{good}]\n")).is_ok());
    }
}
