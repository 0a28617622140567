//! A plan whose operators have numbers.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;

/// The number of an operator; an input has a higher one than what reads it.
pub(super) type At = usize;

/// The operators of a plan, the root first.
pub(super) struct Tree(Vec<Node>);

struct Node {
    plan: Arc<dyn ExecutionPlan>,
    children: Vec<At>,
}

impl Tree {
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let mut nodes = Vec::new();
        push(plan, &mut nodes);
        Self(nodes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn plan(&self, at: At) -> &Arc<dyn ExecutionPlan> {
        &self.0[at].plan
    }

    pub(super) fn children(&self, at: At) -> &[At] {
        &self.0[at].children
    }
}

fn push(plan: &Arc<dyn ExecutionPlan>, nodes: &mut Vec<Node>) -> At {
    let at = nodes.len();
    nodes.push(Node { plan: Arc::clone(plan), children: Vec::new() });
    let children = plan.children().into_iter().map(|child| push(child, nodes)).collect();
    nodes[at].children = children;
    at
}
