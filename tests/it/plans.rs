//! One planner: a bare folder and a pipeline file with the same tasks have the same
//! steps, and options hold for both.

use super::publish::Rehearsal;
use super::sandbox::Sandbox;

/// The pipeline that the folder of [`Sandbox::package`] implies.
const WRITTEN: &str = "kind: JackalPipeline\nversion: 1\nname: demo\ntasks:\n  \
    'component:tree': {component: {definition: jackal.yaml, name: tree}}\n  \
    'component:tool': {component: {definition: jackal.yaml, name: tool}}\n  \
    'sbom:component': {sbom: {of: ['component:tree', 'component:tool']}}\n  \
    package:\n    package:\n      definition: jackal.yaml\n      \
    components: ['component:tree', 'component:tool']\n      sboms: ['sbom:component']\n";

fn written() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.write("p.yaml", WRITTEN);
    sandbox
}

#[test]
fn a_written_pipeline_has_the_steps_and_keys_of_the_implied_one() {
    let sandbox = written();
    let implied = sandbox.build(&[]);
    assert!(implied.iter().all(|(_, status)| status == "executed"));
    let sum = sandbox.archive_sum();
    std::fs::remove_file(sandbox.archive()).unwrap();

    let written = sandbox.build(&["--pipeline", "p.yaml"]);
    assert!(
        written.iter().all(|(_, status)| status == "cached"),
        "{written:?}"
    );
    let names = |tasks: Vec<(String, String)>| -> Vec<String> {
        tasks.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(written), names(implied));
    assert_eq!(sandbox.archive_sum(), sum);
}

#[test]
fn sboms_are_skipped_beside_a_pipeline_as_well() {
    let sandbox = written();
    let tasks = sandbox.build(&["--pipeline", "p.yaml", "--skip-sbom"]);
    assert!(
        tasks.iter().all(|(name, _)| !name.starts_with("sbom")),
        "{tasks:?}"
    );
    let sum = sandbox.archive_sum();
    std::fs::remove_file(sandbox.archive()).unwrap();
    sandbox.build(&["--skip-sbom"]);
    assert_eq!(sandbox.archive_sum(), sum);
}

#[test]
fn registries_are_overridden_beside_a_pipeline_as_well() {
    let sandbox = written();
    let remote = Rehearsal::with_faults(&[]);
    let to = format!("registry.invalid={}/mirror", remote.host());
    let with = ["--registry-override", to.as_str()];
    let file = ["build", "--pipeline", "p.yaml"];
    for images in [
        "    images: {from: ['registry.invalid/team/x:1']}\n",
        "    image: {base: 'registry.invalid/team/x:1'}\n",
    ] {
        sandbox.write("p.yaml", format!("{WRITTEN}  images:\n{images}"));
        remote.requests();
        let said = sandbox.run(&[&file[..], &with, &["--task", "images"]].concat());
        assert_ne!(said.code, Some(0), "{}", said.stderr);
        let asked = remote.requests();
        let found = asked
            .iter()
            .any(|request| request.path.contains("/mirror/team/x/"));
        assert!(found, "{asked:?} {}", said.stderr);
    }
    // The package records it, as one of a bare folder does.
    sandbox.write("p.yaml", WRITTEN);
    sandbox.build(&[&file[1..], &with].concat());
    let sum = sandbox.archive_sum();
    std::fs::remove_file(sandbox.archive()).unwrap();
    sandbox.build(&with);
    assert_eq!(sandbox.archive_sum(), sum);
}
