use super::*;

fn read(name: &str, text: &str) -> Result<Values, String> {
    let ending = name.rsplit('.').next().unwrap();
    parse(&SourceText::new(name, text), ending, Origin::Any)
        .map_err(|mistakes| mistakes.to_string())
}

#[test]
fn keys_that_say_whom_to_trust_are_for_the_user_s_own_file() {
    let toml = "jackal_cache = 'x'\narchitecture = 'a'\n[package]\nPublic_Key = ''\n";
    let text = read("c.toml", toml).unwrap_err();
    for part in [
        "c.toml:1:1: `jackal_cache` is only read from your own configuration file",
        "c.toml:4:1: `package.public_key` is only read from your own",
        "~/.jackal/jackal-config.toml",
    ] {
        assert!(text.contains(part), "{part} not in {text}");
    }
    let own = parse(&SourceText::new("c.toml", toml), "toml", Origin::Own).unwrap();
    assert_eq!(own.get("jackal_cache"), Some(&vec!["x".to_owned()]));
    let of_trust = [
        "cache", "state", "certs", "key", "polic", "password", "pass", "auth", "root", "trust",
        "insecure", "identity", "issuer", "override", "tmpdir",
    ];
    for key in KEYS {
        let trusts = of_trust.iter().any(|word| key.arg.contains(word));
        assert_eq!(key.source == Origin::Own, trusts, "{}", key.name);
    }
}

#[test]
fn a_checkout_names_no_place_for_results_outside_its_folder() {
    for (line, key) in [
        ("output = '/srv/out'", "output"),
        ("output = '../out'", "output"),
        ("output = 'a/../../out'", "output"),
        ("output = 'oci://r.example/team'", "output"),
        ("output = 'oci-layout:out'", "output"),
        ("output_directory = '..'", "output_directory"),
        ("sbom_output = '/srv'", "sbom_output"),
    ] {
        let toml = format!("[package.create]\n{line}\n");
        let text = read("c.toml", &toml).unwrap_err();
        let column = key.len() + 4;
        for part in [
            format!("c.toml:2:{column}: `package.create.{key}` is "),
            format!("JACKAL_PACKAGE_CREATE_{}", key.to_uppercase()),
        ] {
            assert!(text.contains(&part), "{part} not in {text}");
        }
        parse(&SourceText::new("c.toml", toml), "toml", Origin::Own).unwrap();
    }
    for line in [
        "output = 'dist'",
        "output = './a/../b'",
        "sbom_output = 'x'",
    ] {
        read("c.toml", &format!("[package.create]\n{line}\n")).unwrap();
    }
    // Every flag that says where results go is such a key.
    for key in KEYS {
        let goes = ["output", "out", "summary", "events"].iter();
        let goes = goes
            .into_iter()
            .any(|word| key.arg.split('_').any(|part| part == *word));
        assert_eq!(key.source == Origin::Below, goes, "{}", key.name);
    }
}

#[test]
fn toml_yaml_and_json_are_equivalent() {
    let toml = "architecture = 'arm64'\n[package.create]\nmax_package_size = 1_000\n\
                skip_sbom = true\n[package.create.set]\na = 'x,\"y\"'\n[package.deploy]\nretries = 3\n";
    let yaml = "Architecture: arm64\npackage:\n  create:\n    max_package_size: 1000\n    \
                skip_sbom: true\n    set: {a: 'x,\"y\"'}\n  deploy: {retries: 3}\n";
    let json = r#"{"architecture": "arm64", "package": {"create": {"max_package_size": 1000,
                "skip_sbom": true, "set": {"a": "x,\"y\""}}, "deploy": {"retries": 3}}}"#;
    let expected = [
        ("architecture", "arm64"),
        ("package.create.max_package_size", "1000"),
        ("package.create.skip_sbom", "true"),
        ("package.create.set", r#""A=x,""y""""#),
    ];
    let expected: Values = expected
        .map(|(name, text)| (name, vec![text.to_owned()]))
        .into();
    for (name, text) in [("c.toml", toml), ("c.yaml", yaml), ("c.json", json)] {
        assert_eq!(read(name, text).as_ref(), Ok(&expected), "{name}");
    }
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let toml = "archtecture = 'a'\n[package.create]\nmax_package_size = 'x'\nset = 3\n";
    let text = read("c.toml", toml).unwrap_err();
    for part in [
        "c.toml:1:1: unknown setting `archtecture`",
        "Did you mean `architecture`?",
        "c.toml:3:20: `package.create.max_package_size` is a string, expected a whole number",
        "c.toml:4:7: `package.create.set` is a number",
    ] {
        assert!(text.contains(part), "{part} not in {text}");
    }
    let text = read("c.toml", "a = 1\nb = = 2\n").unwrap_err();
    assert!(text.starts_with("c.toml:2:5: invalid TOML"), "{text}");
    let text = read("c.yaml", "package:\n  create: [x]\n").unwrap_err();
    assert!(
        text.starts_with("c.yaml:2:11: `package.create` is a list"),
        "{text}"
    );
}
