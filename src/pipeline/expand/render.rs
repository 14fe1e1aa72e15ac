//! Renders the keys of one instance.

use std::collections::BTreeMap;

use super::ExpandError;
use super::instance::{
    ImageLayer, ImageSource, ImagesSource, Instance, LayerSource, RenderedConfig, RenderedKind,
    RenderedOutput, RenderedSign,
};
use super::scope::Scope;
use crate::pipeline::model::{ImagesFrom, TaskKind};

impl Scope<'_> {
    pub(super) fn instance(self) -> Result<Instance, ExpandError> {
        let task = self.task;
        let kind = self.kind()?;
        let mut input_globs = Vec::new();
        let mut input_values = BTreeMap::new();
        let mut inputs = self.list("inputs", &task.inputs)?;
        if matches!(task.kind, TaskKind::Run { .. }) {
            inputs.extend(self.list("globalInputs", &self.pipeline.global_inputs)?);
        }
        for text in inputs {
            if let Some(name) = text.strip_prefix("param:") {
                let value = self.params.get(name).cloned();
                input_values.extend(value.map(|value| (text, value)));
            } else if let Some(name) = text.strip_prefix("env:") {
                let value = self.env.get(name).or(self.facts.env.get(name)).cloned();
                input_values.extend(value.map(|value| (text, value)));
            } else {
                input_globs.push(text);
            }
        }
        let mut input_tasks = self.references("inputs", &task.input_tasks)?;
        input_tasks.sort();
        self.references("dependsOn", &task.depends_on)?;
        let workdir = self.optional("workdir", task.workdir.as_ref())?;
        let workdir = workdir.unwrap_or_else(|| ".".to_owned());
        let outputs = self.outputs(&workdir)?;
        let mutex = self.optional("mutex", task.mutex.as_ref())?;
        let names = self.pipeline.pass_through_env.iter();
        let mut pass_through: Vec<String> = names.chain(&task.pass_through_env).cloned().collect();
        pass_through.sort();
        pass_through.dedup();
        Ok(Instance {
            id: self.id,
            task: task.id.clone(),
            skipped: self.skipped,
            runs_after: self.runs_after,
            kind,
            input_globs,
            input_values,
            input_tasks,
            depends_on: self.edges.into_inner().into_iter().collect(),
            outputs,
            env: self.env,
            pass_through,
            tools: task.tools.clone(),
            timeout: task.timeout,
            grace: task.grace,
            sandbox: task.sandbox,
            retries: task.retries.clone(),
            secrets: task.secrets.clone(),
            resources: task.resources,
            priority: task.priority,
            tags: task.tags.clone(),
            pool: task.pool.clone(),
            mutex,
            cache: task.cache.keep && (task.secrets.is_empty() || task.cache.with_secrets),
            salts: [&self.pipeline.salt, &task.cache.salt]
                .into_iter()
                .filter(|salt| !salt.is_empty())
                .cloned()
                .collect(),
            fresh: task.cache.fresh,
            continue_on_error: task.continue_on_error,
            workdir,
            platform: self.platform,
        })
    }

    fn outputs(&self, workdir: &str) -> Result<Vec<RenderedOutput>, ExpandError> {
        let mut outputs = Vec::new();
        for output in &self.task.outputs {
            let text = self.render("outputs", &output.path)?;
            let path = inside(&text).filter(|path| !path.is_empty());
            let (Some(path), Some(dir)) = (path, inside(workdir)) else {
                return Err(ExpandError::OutputPath {
                    instance: self.id.clone(),
                    path: text,
                });
            };
            let full = if dir.is_empty() {
                path.clone()
            } else {
                format!("{dir}/{path}")
            };
            outputs.push(RenderedOutput {
                path,
                full,
                directory: text.ends_with('/'),
                optional: output.optional,
            });
        }
        Ok(outputs)
    }

    fn image_source(&self, key: &str, text: String) -> Result<ImageSource, ExpandError> {
        Ok(match text.strip_prefix("task:") {
            Some(selector) => ImageSource::Task(self.select_one(key, selector)?),
            None if text == "scratch" => ImageSource::Scratch,
            None => ImageSource::Reference(text),
        })
    }

    fn kind(&self) -> Result<RenderedKind, ExpandError> {
        Ok(match &self.task.kind {
            TaskKind::Component { definition, name } => RenderedKind::Component {
                definition: self.render("definition", definition)?,
                name: self.render("name", name)?,
                inline: None,
            },
            TaskKind::Images { from, platform } => RenderedKind::Images {
                from: self.images(from)?,
                platform: self.optional("platform", platform.as_ref())?,
            },
            TaskKind::Image { .. } => self.image()?,
            TaskKind::Sbom { of, formats } => RenderedKind::Sbom {
                of: self.references("of", of)?,
                formats: formats.clone(),
            },
            TaskKind::Package {
                definition,
                set,
                components,
                images,
                sboms,
            } => RenderedKind::Package {
                definition: self.render("definition", definition)?,
                set: self.map("set", set)?,
                components: self.references("components", components)?,
                images: self.references("images", images)?,
                sboms: self.references("sboms", sboms)?,
            },
            TaskKind::Sign(sign) => RenderedKind::Sign(Box::new(RenderedSign {
                subjects: self.references("subjects", &sign.subjects)?,
                key: self.optional("key", sign.key.as_ref())?,
                password_file: self.optional("passwordFile", sign.password_file.as_ref())?,
                identity: self.optional("identity", sign.identity.as_ref())?,
                issuer: self.optional("issuer", sign.issuer.as_ref())?,
                trust_config: self.optional("trustConfig", sign.trust_config.as_ref())?,
                annotations: self.map("annotations", &sign.annotations)?,
                builder: self.optional("builder", sign.builder.as_ref())?,
                provenance: sign.provenance,
                sbom: sign.sbom,
                in_package: sign.in_package,
            })),
            TaskKind::Publish {
                packages,
                signatures,
                to,
                mirrors,
                tags,
                move_tags,
                split_layers,
            } => RenderedKind::Publish {
                packages: self.references("packages", packages)?,
                signatures: self.references("signatures", signatures)?,
                to: std::iter::once(self.render("to", to))
                    .chain(mirrors.iter().map(|to| self.render("mirrors", to)))
                    .collect::<Result<_, _>>()?,
                tags: self.list("tags", tags)?,
                move_tags: *move_tags,
                split_layers: *split_layers,
            },
            TaskKind::Run { argv, shell } => RenderedKind::Run {
                argv: self.list("run", argv)?,
                shell: shell.clone(),
            },
        })
    }

    fn images(&self, from: &ImagesFrom) -> Result<ImagesSource, ExpandError> {
        let list = match from {
            ImagesFrom::Definition(file) => {
                return Ok(ImagesSource::Definition(self.render("from", file)?));
            }
            ImagesFrom::List(list) => list,
        };
        let mut sources = Vec::new();
        for text in self.list("from", list)? {
            match text.strip_prefix("task:") {
                Some(selector) => {
                    let chosen = self.select("from", selector)?;
                    sources.extend(chosen.into_iter().map(ImageSource::Task));
                }
                None => sources.push(ImageSource::Reference(text)),
            }
        }
        Ok(ImagesSource::List(sources))
    }

    fn image(&self) -> Result<RenderedKind, ExpandError> {
        let TaskKind::Image {
            base,
            platform,
            layers,
            entrypoint,
            cmd,
            env,
            user,
            workdir,
            labels,
            ports,
        } = &self.task.kind
        else {
            unreachable!("only called for an image");
        };
        let mut made = Vec::new();
        for layer in layers {
            let from = self.render("layers.from", &layer.from)?;
            made.push(ImageLayer {
                from: match from.strip_prefix("task:") {
                    Some(text) => LayerSource::Task(self.select_one("layers.from", text)?),
                    None => LayerSource::Path(from),
                },
                to: self.render("layers.to", &layer.to)?,
                owner: self.optional("layers.owner", layer.owner.as_ref())?,
                mode: layer.mode,
            });
        }
        Ok(RenderedKind::Image {
            base: self.image_source("base", self.render("base", base)?)?,
            platform: self.optional("platform", platform.as_ref())?,
            layers: made,
            config: RenderedConfig {
                entrypoint: self.list("config.entrypoint", entrypoint)?,
                cmd: self.list("config.cmd", cmd)?,
                env: self.map("config.env", env)?,
                user: self.optional("config.user", user.as_ref())?,
                workdir: self.optional("config.workdir", workdir.as_ref())?,
                labels: self.map("config.labels", labels)?,
                ports: self.list("config.ports", ports)?,
            },
        })
    }
}

/// A relative path without `.` parts and doubled slashes; nothing for one that
/// is absolute or climbs.
fn inside(text: &str) -> Option<String> {
    let climbs = text.split('/').any(|part| part == "..");
    if climbs || text.starts_with('/') || text.contains('\0') {
        return None;
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    Some(parts.join("/"))
}
