//! A listener's rules as the proxy understands them. What the configuration accepts and the proxy does not is told, not ignored.
//!
//! Not here: what rules mean (`baleen-config`), what they do (`baleen-proxy`). Tested: in `tests/it/routes.rs`.

use std::sync::Arc;

use baleen_config::{
    Does, FieldEdits, FieldMatch, HostPattern, Listener, NameTemplate, Rule, RulePath, ValueMatch,
};
use baleen_proxy::effects::{self, Effects, Own};
use baleen_proxy::identify::{self, Naming, PathPattern, Template};

/// How a listener names requests.
pub(super) fn naming(listener: &Listener) -> Result<Naming, String> {
    let rules = listener.rules.iter().map(rule).collect::<Result<_, _>>()?;
    Ok(Naming::new(rules, Some(template(&listener.name)?)))
}

fn template(name: &NameTemplate) -> Result<Template, String> {
    Template::parse(name.as_str()).map_err(|e| format!("name {:?}: {e}", name.as_str()))
}

fn rule(rule: &Rule) -> Result<identify::Rule, String> {
    let path = rule.path.as_ref().map(RulePath::text).map(|path| {
        PathPattern::parse(&path)
            .ok_or_else(|| format!("path {path:?}: no request's path is ever below it"))
    });
    let host = rule.host.as_ref().map(|host| match host {
        HostPattern::Exact(name) => identify::HostPattern::Exact(name.clone()),
        HostPattern::Below(end) => identify::HostPattern::Below(end.clone()),
    });
    let field = |field: &FieldMatch| identify::FieldPattern {
        name: field.name.as_str().into(),
        value: match &field.value {
            ValueMatch::Any => identify::ValuePattern::Any,
            ValueMatch::Exact(value) => identify::ValuePattern::Exact(value.as_str().into()),
            ValueMatch::Begins(start) => identify::ValuePattern::Begins(start.as_str().into()),
        },
    };
    let does = match &rule.does {
        Does::Name(name) => identify::Does::Name(template(name)?),
        Does::Redirect(redirect) => {
            let to = effects::Redirect::parse(redirect.status, &redirect.to);
            let wrong = || format!("redirect {:?}: this is no address", redirect.to);
            identify::Does::Own(Own::Redirect(to.ok_or_else(wrong)?))
        }
        Does::Answer(answer) => identify::Does::Own(Own::Answer(Arc::clone(answer))),
    };
    Ok(identify::Rule {
        host,
        path: path.transpose()?,
        methods: rule.methods.iter().map(|m| m.as_str().into()).collect(),
        fields: rule.headers.iter().map(field).collect(),
        does,
        effects: Effects {
            path: rule.rewrite_path.as_deref().map(Into::into),
            host: rule.rewrite_host.as_deref().map(Into::into),
            request: field_edits(&rule.request_headers),
            response: field_edits(&rule.response_headers),
        },
        priority: rule.priority,
    })
}

fn field_edits(edits: &FieldEdits) -> effects::FieldEdits {
    effects::FieldEdits {
        remove: edits.remove.iter().map(|name| name.as_str().into()).collect(),
        add: edits.add.iter().map(|(n, v)| (n.as_str().into(), v.as_str().into())).collect(),
    }
}
