use super::*;

fn first(text: &str) -> Node {
    parse_first(&SourceText::new("t.yaml", text))
        .unwrap()
        .unwrap()
}

fn refused(text: &str) -> String {
    parse(&SourceText::new("t.yaml", text))
        .unwrap_err()
        .to_string()
}

#[test]
fn nodes_know_their_line_and_column() {
    let node = first("a: 1\nlist:\n  - x\n  - 'y'\n");
    let y = &node.get("list").unwrap().items()[1];
    assert_eq!((y.span.line, y.span.column, y.span.length), (4, 5, 3));
    assert_eq!(y.scalar(), Some("y"));
}

#[test]
fn numbers_keep_their_source_text_and_differ_from_strings() {
    let node = first("a: 1.10\nb: '1.10'\nc: true\nd: v1\ne: 0x1F\nf: -\u{66}oo\n");
    let kind = |key| node.get(key).unwrap().kind();
    assert_eq!(node.get("a").unwrap().scalar(), Some("1.10"));
    assert_eq!(
        ["a", "b", "c", "d", "e", "f"].map(kind),
        ["number", "string", "boolean", "string", "number", "string"]
    );
}

#[test]
fn aliases_and_merge_keys_are_resolved_and_own_keys_win() {
    let node = first("base: &b {x: 1, y: 2}\nthis: {<<: *b, y: 3}\n");
    let this = node.get("this").unwrap();
    assert_eq!(this.get("x").unwrap().scalar(), Some("1"));
    assert_eq!(this.get("y").unwrap().scalar(), Some("3"));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        let items = vec![before; 10].join(", ");
        text += &format!("a{level}: &a{level} [{items}]\n");
    }
    assert!(
        refused(&text).contains("more than 200000 nodes"),
        "{}",
        refused(&text)
    );
}

#[test]
fn text_that_aliases_or_anchors_multiply_is_refused_with_its_place() {
    let long = "b".repeat(100_000);
    let many = vec!["*a"; 190_000].join(",");
    let message = refused(&format!("a: &a {long}\nb: [{many}]\n"));
    assert!(message.starts_with("t.yaml:2:"), "{message}");
    assert!(message.contains("more than 8 MiB of text"), "{message}");
    // Keys, items of merged mappings, and anchors around one another count as well.
    let many = vec!["*m"; 200].join(",");
    let message = refused(&format!("m: &m {{k: {long}}}\nb: {{<<: [{many}]}}\n"));
    assert!(message.contains("more than 8 MiB of text"), "{message}");
    let open: String = (0..60).map(|level| format!("&a{level} [")).collect();
    let nested = format!("a: {open}{}{}\nb: *a0\n", long.repeat(2), "]".repeat(60));
    let message = refused(&nested);
    assert!(message.contains("more than 8 MiB of text"), "{message}");
    let documents = format!("a: &a {long}\nb: [*a, *a, *a]\n---\n").repeat(40);
    let message = refused(&documents);
    assert!(message.contains("more than 8 MiB of text"), "{message}");
    // A few copies of a long text are common.
    first(&format!("a: &a {long}\nb: [*a, *a, *a]\n"));
}

#[test]
fn large_mappings_are_merged_in_linear_time_and_own_keys_win_however_they_are_quoted() {
    let pairs = |begin: u32| {
        let pairs = (begin..begin + 20_000).map(|n| format!("  k{n}: v\n"));
        pairs.collect::<String>()
    };
    let text = format!("m: &m\n{}n:\n  <<: *m\n{}", pairs(0), pairs(20_000));
    let Value::Mapping(merged) = first(&text).get("n").unwrap().value.clone() else {
        panic!("a mapping");
    };
    assert_eq!(merged.len(), 40_000);
    let node = first("m: &m {a: 1}\nn: {<<: *m, 'a': 2}\n");
    assert_eq!(node.get("n").unwrap().get("a").unwrap().scalar(), Some("2"));
}

#[test]
fn deep_nesting_is_refused_with_its_place() {
    let text = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let message = refused(&text);
    assert!(
        message.starts_with("t.yaml:1:65: nested deeper than 64"),
        "{message}"
    );
    // Deeper still, the parser's own limit answers first: no overflow either way.
    assert!(refused(&"[".repeat(100_000)).starts_with("t.yaml:1:"));
}

#[test]
fn text_that_is_not_yaml_is_refused_with_its_place() {
    let message = refused("a: [1\nb: 2\n");
    assert!(message.starts_with("t.yaml:2:"), "{message}");
    assert!(message.contains("help:"));
}

#[test]
fn several_documents_are_kept_apart() {
    let documents = parse(&SourceText::new("t.yaml", "a: 1\n---\nb: 2\n")).unwrap();
    assert_eq!(documents.len(), 2);
    assert!(
        parse_first(&SourceText::new("t", "# only a comment\n"))
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_second_document_is_refused_where_one_is_expected() {
    let only = |text: &str| parse_only(&SourceText::new("t.yaml", text));
    let error = only("a: 1\n---\nb: 2\n").unwrap_err().to_string();
    assert!(
        error.starts_with("t.yaml:3:1: a second YAML document"),
        "{error}"
    );
    // Empty ones are no second reading.
    assert!(only("---\na: 1\n---\n---\n# end\n...\n").unwrap().is_some());
    assert!(only("").unwrap().is_none());
}

#[test]
fn a_tag_may_not_change_what_a_value_is() {
    let node = first("a: !!str 1.10\nb: !!str\nc: !!int 5\nd: !!seq [x]\ne: ! true\n");
    let kind = |key: &str| node.get(key).unwrap().kind();
    assert_eq!(
        ["a", "b", "c", "d", "e"].map(kind),
        ["string", "string", "number", "list", "string"]
    );
    for text in [
        "a: !!binary MS4w\n",
        "a: !!null demo\n",
        "a: !!int '5'\n",
        "a: !!bool 1\n",
        "a: !own x\n",
        "a: !!set {b: }\n",
        "a: !!str [b]\n",
    ] {
        let error = refused(text);
        assert!(error.starts_with("t.yaml:1:"), "{error}");
        assert!(error.contains("the tag `!"), "{error}");
    }
}

#[test]
fn a_merge_key_may_be_given_once() {
    let error = refused("a: &a {x: 1}\nb: &b {x: 2}\nc:\n  <<: *a\n  <<: *b\n");
    assert!(
        error.starts_with("t.yaml:5:3: duplicate key `<<`"),
        "{error}"
    );
}

#[test]
fn keys_that_could_not_be_written_again_are_refused() {
    let parsed = |key: &str| parse(&SourceText::new("f", format!("? {key}\n: v\n")));
    assert!(parsed(&"k".repeat(MAX_KEY)).is_ok());
    let long = parsed(&"k".repeat(MAX_KEY + 1)).unwrap_err();
    assert_eq!(long.list()[0].span.line, 1);
    assert!(parsed("\"a\\u001d\"").is_err());
}
