//! The cluster as each node sees it.

use gossip_client::{ClusterView, Error, Health, Member};
use serde_json::{Value, json};

use super::{Report, or_dash, silent_json, table};

const HEAD: [&str; 13] = [
    "NODE",
    "ID",
    "KIND",
    "HEALTH",
    "INCARNATION",
    "ADDRESS",
    "ROLE",
    "LEADER",
    "TERM",
    "APPLIED",
    "SHARDS",
    "LEASES",
    "BUILD",
];

/// One block for each endpoint: the nodes that its node knows, as that node sees them.
pub(in crate::ctl) fn views(views: &[(String, Result<ClusterView, Error>)]) -> Report {
    let text = views.iter().map(|(endpoint, view)| match view {
        Ok(view) => format!("{} at {endpoint} sees\n{}", view.node, table(&HEAD, &rows(view))),
        Err(error) => format!("{endpoint}: {}", error.reason),
    });
    let json = views.iter().map(|(endpoint, view)| match view {
        Ok(view) => view_json(endpoint, view),
        Err(error) => silent_json(endpoint, error),
    });
    let json = json!({ "views": json.collect::<Vec<_>>() });
    Report { json, text: text.collect::<Vec<_>>().join("\n\n") }
}

/// Members first, then those that are none.
fn all(view: &ClusterView) -> impl Iterator<Item = (&Member, &'static str)> {
    let members = view.members.iter().map(|member| (member, if member.voter { "voter" } else { "learner" }));
    members.chain(view.others.iter().map(|other| (other, "no member")))
}

fn rows(view: &ClusterView) -> Vec<Vec<String>> {
    let row = |(member, kind): (&Member, &str)| {
        let fact = |key: &str| or_dash(member.facts.get(key).map_or("", String::as_str));
        let (leader, term) = leader(view, member);
        // Where the node itself says that it is: that is where gossip is sent.
        let address = Some(&member.gossip_address).filter(|address| !address.is_empty()).unwrap_or(&member.address);
        vec![
            or_dash(&member.node),
            member.node_id.to_string(),
            kind.to_owned(),
            health(member.health()).to_owned(),
            member.incarnation.to_string(),
            address.clone(),
            fact("role"),
            or_dash(&leader),
            or_dash(&term),
            fact("applied"),
            fact("active-shards"),
            fact("live-leases"),
            fact("build"),
        ]
    };
    all(view).map(row).collect()
}

/// Whom a node takes for the leader, by name if the view knows it, and in which term.
fn leader(view: &ClusterView, member: &Member) -> (String, String) {
    let Some((id, term)) = member.facts.get("leader").and_then(|hint| hint.split_once('@')) else {
        return (String::new(), String::new());
    };
    let named =
        all(view).map(|(other, _)| other).find(|other| other.node_id.to_string() == id && !other.node.is_empty());
    (named.map_or(id, |leader| &leader.node).to_owned(), term.to_owned())
}

fn view_json(endpoint: &str, view: &ClusterView) -> Value {
    let members = all(view).map(|(member, kind)| {
        json!({
            "node": member.node, "node_id": member.node_id, "kind": kind, "voter": member.voter,
            "health": health(member.health()), "incarnation": member.incarnation, "address": member.address,
            "gossip_address": member.gossip_address, "facts": member.facts,
        })
    });
    let members: Vec<_> = members.collect();
    json!({ "endpoint": endpoint, "node": view.node, "node_id": view.node_id, "members": members })
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Unspecified => "unknown",
        Health::Alive => "alive",
        Health::Suspect => "suspect",
        Health::Dead => "dead",
        Health::Left => "left",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node_id: u64, health: Health, facts: &[(&str, &str)]) -> Member {
        Member {
            node: format!("n{node_id}"),
            node_id,
            address: format!("a:{node_id}"),
            voter: true,
            health: health.into(),
            facts: facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            incarnation: 7,
            gossip_address: format!("a:{node_id}"),
        }
    }

    #[test]
    fn each_answering_node_has_a_block_and_strangers_are_marked() {
        let leads = member(1, Health::Alive, &[("role", "leader"), ("leader", "1@4"), ("live-leases", "3")]);
        let (dead, stranger) = (member(2, Health::Dead, &[("leader", "")]), member(9, Health::Left, &[]));
        let view = ClusterView { members: vec![leads, dead], node: "n1".into(), node_id: 1, others: vec![stranger] };
        let down = gossip_client::Client::lazy(vec![], gossip_client::Options::default()).unwrap_err();
        let report = views(&[("a:1".into(), Ok(view)), ("a:2".into(), Err(down.clone()))]);
        let lines: Vec<Vec<&str>> = report.text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["n1", "at", "a:1", "sees"]);
        assert_eq!(lines[2], ["n1", "1", "voter", "alive", "7", "a:1", "leader", "n1", "4", "-", "-", "3", "-"]);
        assert_eq!(lines[3], ["n2", "2", "voter", "dead", "7", "a:2", "-", "-", "-", "-", "-", "-", "-"]);
        assert_eq!(lines[4][..5], ["n9", "9", "no", "member", "left"]);
        assert_eq!(report.text.lines().last(), Some(format!("a:2: {}", down.reason).as_str()));
        let json = &report.json["views"];
        assert_eq!((&json[0]["node"], &json[0]["members"][1]["health"]), (&json!("n1"), &json!("dead")));
        assert_eq!(json[0]["members"][0]["facts"]["leader"], json!("1@4"));
        assert_eq!(json[0]["members"][2]["kind"], json!("no member"));
        assert_eq!(json[1]["error"]["reason"], json!(down.reason));
    }
}
