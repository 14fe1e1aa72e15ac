use serde_json::json;

use super::super::budget::HELD_BYTES;
use super::super::catalog::wanted_of_images as wanted;
use super::super::layer::{scan, tar_of};
use super::*;

fn view(layers: &[&[(&str, &[u8])]]) -> View {
    let mut view = View::new(true, HELD_BYTES);
    for layer in layers {
        view.stack(scan(&tar_of(layer)[..], wanted, &crate::sbom::body::in_memory).unwrap())
            .unwrap();
    }
    view
}

#[test]
fn whiteouts_delete_lower_layers_only() {
    let view = view(&[
        &[("a/package.json", b"1"), ("b/package.json", b"1")],
        &[
            ("b/package.json", b"2"),
            ("b/.wh..wh..opq", b""),
            (".wh.a", b""),
        ],
    ]);
    assert_eq!(view.text("a/package.json"), None);
    assert_eq!(view.text("b/package.json").as_deref(), Some("2"));
}

#[test]
fn hard_links_keep_content_after_their_target_is_gone() {
    let view = view(&[
        &[
            ("a/package.json", b"1"),
            ("b/package.json == a/package.json", b""),
        ],
        &[("a/.wh.package.json", b"")],
    ]);
    assert_eq!(view.text("b/package.json").as_deref(), Some("1"));
}

#[test]
fn links_are_resolved_inside_the_root_and_loops_end() {
    let view = view(&[&[
        (
            "usr/lib/os-release",
            b"ID=debian\nVERSION_ID=\"12\"\nID_LIKE='a b'\n",
        ),
        ("etc/os-release -> ../../../usr/lib/os-release", b""),
        ("lib -> /usr/lib", b""),
        ("x -> y", b""),
        ("y -> x", b""),
    ]]);
    assert_eq!(
        *view.distro(),
        json!({"id": "debian", "versionID": "12", "idLike": ["a", "b"]})
    );
    assert_eq!(
        view.resolve("lib/os-release").as_deref(),
        Some("usr/lib/os-release")
    );
    assert_eq!(view.resolve("x"), None);
}

#[test]
fn entries_go_where_links_lead_and_files_give_way_to_folders() {
    let view = view(&[
        &[
            ("usr/lib/", b""),
            ("lib -> usr/lib", b""),
            ("root -> /", b""),
            ("f", b"a file"),
            ("d/g/package.json", b"old"),
        ],
        &[
            ("lib/a/package.json", b"1"),
            ("root/b/package.json", b"2"),
            ("f/c/package.json", b"3"),
            ("d/g", b"a file again"),
        ],
    ]);
    for (path, text) in [
        ("usr/lib/a/package.json", Some("1")),
        ("lib/a/package.json", Some("1")),
        ("b/package.json", Some("2")),
        ("f/c/package.json", Some("3")),
        ("d/g/package.json", None),
    ] {
        assert_eq!(view.text(path).as_deref(), text, "{path}");
    }
    let mut paths = Vec::new();
    view.each(|path, _| paths.push(path.to_owned()));
    let expected = [
        "b/package.json",
        "f/c/package.json",
        "usr/lib/a/package.json",
    ];
    assert_eq!(paths, expected);
    let location = view
        .location("lib/a/package.json", Evidence::Primary)
        .unwrap();
    assert_eq!(location.path, "/usr/lib/a/package.json");
    assert_eq!(location.layer, Some(view.layers[1]));
    assert!(
        view.location("f/c", Evidence::Primary).is_none(),
        "not mentioned"
    );
}

#[test]
fn links_and_paths_that_take_too_long_to_follow_are_refused() {
    // Forty links of sixteen hundred steps for each entry.
    let long = "d/../".repeat(800);
    let mut files: Vec<(String, &[u8])> = (0..39)
        .map(|number| (format!("l{number} -> {long}l{}", number + 1), &b""[..]))
        .collect();
    files.push((format!("l39 -> {long}d"), b""));
    files.push(("d/".to_owned(), b""));
    for number in 0..1000 {
        files.push((format!("l0/e{number}/f"), b""));
    }
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, b)| (name.as_str(), *b)).collect();
    let scanned = scan(&tar_of(&files)[..], wanted, &crate::sbom::body::in_memory).unwrap();
    let mut view = View::new(true, HELD_BYTES);
    let refused = view.stack(scanned).unwrap_err();
    assert!(
        refused.to_string().contains("too long to follow"),
        "{refused}"
    );
    // As deep as a tar may be, for as many entries: no more than its bytes.
    let deep = "d/".repeat(250);
    let files: Vec<String> = (0..500)
        .map(|n| format!("{deep}{n}/package.json"))
        .collect();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|name| (name.as_str(), &b"x"[..]))
        .collect();
    let scanned = scan(&tar_of(&files)[..], wanted, &crate::sbom::body::in_memory).unwrap();
    View::new(true, HELD_BYTES).stack(scanned).unwrap();
}

#[test]
fn links_that_loop_lead_nowhere() {
    let view = view(&[&[("a/x", b""), ("b -> c", b""), ("c -> b", b""), ("x", b"")]]);
    assert!(view.has("a/x") && view.has("x") && !view.has("b/x"));
    assert_eq!(view.names("a", "").count(), 1);
    assert_eq!(view.names("", "").count(), 4);
    assert_eq!(view.names("b", "").count(), 0);
    assert_eq!(view.names("c/d", "").count(), 0);
}

#[test]
fn names_are_steps() {
    let names: Vec<String> = (0..200).map(|n| format!("d/{n}")).collect();
    let names: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let mut view = view(&[&names]);
    view.steps = Steps::few(1_000);
    let read: usize = (0..10).map(|_| view.names("d", "").count()).sum();
    // One step for the folder each time.
    assert_eq!(read, 1_000 - 5);
    assert!(view.check().is_err());
}

#[test]
fn all_layers_share_one_memory() {
    let files: Vec<String> = (0..200).map(|n| format!("{n}/package.json")).collect();
    let text = [b'x'; 100];
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|name| (name.as_str(), &text[..]))
        .collect();
    let scanned = || scan(&tar_of(&files)[..], wanted, &crate::sbom::body::in_memory).unwrap();
    let mut view = View::new(true, 120_000);
    view.stack(scanned()).unwrap();
    // What replaces a file takes its memory.
    view.stack(scanned()).unwrap();
    let others = files.iter().map(|(name, text)| (format!("x{name}"), *text));
    let others: Vec<(String, &[u8])> = others.collect();
    let others: Vec<(&str, &[u8])> = others.iter().map(|(name, b)| (name.as_str(), *b)).collect();
    let scanned = scan(&tar_of(&others)[..], wanted, &crate::sbom::body::in_memory).unwrap();
    assert!(matches!(view.stack(scanned), Err(LayerError::TooLarge(_))));
}
