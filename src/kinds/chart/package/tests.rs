use std::fs;

use super::*;

fn put(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn listed(bytes: &[u8]) -> Vec<(String, String)> {
    let mut tar = TarReader::new(MultiGzDecoder::new(bytes));
    let mut listed = Vec::new();
    while let Some(entry) = tar.next().unwrap() {
        let mut text = String::new();
        tar.read_to_string(&mut text).unwrap();
        listed.push((entry.name_lossy(), text));
    }
    listed
}

fn packaged(root: &Path, shown: &str) -> Result<Vec<u8>, ChartError> {
    let cache = tempfile::tempdir().unwrap();
    let cas = std::sync::Arc::new(crate::cas::Cas::open(cache.path()).unwrap());
    let bound = fs::canonicalize(root).unwrap();
    let files = chart_files(root, &bound, shown, None)?;
    let inputs = Inputs::on_disk(&cas, root, &files).unwrap();
    package_chart(&inputs, ".", shown, Vec::new())
}

fn chart(root: &Path, below: &str, name: &str) {
    let text = format!("name: {name}\nversion: 1.0.0\napiVersion: v2\n");
    put(root, &format!("{below}Chart.yaml"), text);
}

#[test]
fn a_chart_with_charts_in_it_is_written_in_helms_order() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    chart(root, "", "web");
    put(root, "values.yaml", "\u{feff}a: 1\n");
    put(root, "templates/b.yaml", "b");
    put(root, "templates/.skip", "s");
    put(root, "README.md", "r");
    put(root, "x.bak", "x");
    put(root, ".helmignore", "*.bak\n");
    put(root, "charts/_off/Chart.yaml", "-");
    chart(root, "charts/zz/", "aa");
    let inner = tempfile::tempdir().unwrap();
    chart(inner.path(), "", "db");
    let packed = packaged(inner.path(), "db").unwrap();
    put(root, "charts/db-1.0.0.tgz", packed);
    let bytes = packaged(root, "c").unwrap();
    let names: Vec<String> = listed(&bytes).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "web/Chart.yaml",
            "web/values.yaml",
            "web/templates/b.yaml",
            "web/.helmignore",
            "web/README.md",
            "web/charts/db/Chart.yaml",
            "web/charts/aa/Chart.yaml",
        ]
    );
    assert_eq!(listed(&bytes)[1].1, "a: 1\n");
    assert_eq!(packaged(root, "c").unwrap(), bytes);
}

#[test]
fn incomplete_charts_are_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let error = || packaged(root, "c").unwrap_err().to_string();
    assert!(error().contains("no Chart.yaml in `c`"));
    put(
        root,
        "Chart.yaml",
        "name: a\nversion: 1.0.0\napiVersion: v2\ndependencies:\n- name: db\n",
    );
    let missing = error();
    assert!(missing.contains("depends on `db`") && missing.contains("helm dependency build c"));
    chart(root, "charts/db/", "db");
    packaged(root, "c").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
    assert!(error().contains("leads out"));
    fs::remove_file(root.join("link")).unwrap();
    put(root, ".helmignore", "a\n**/b\n");
    assert!(error().starts_with("c/.helmignore:2:1: "));
}
