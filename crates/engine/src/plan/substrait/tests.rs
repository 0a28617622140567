use datafusion_substrait::substrait::proto::expression::{Literal, RexType, literal::LiteralType};
use datafusion_substrait::substrait::proto::read_rel::{LocalFiles, NamedTable, ReadType};
use datafusion_substrait::substrait::proto::rel::RelType as Kind;
use datafusion_substrait::substrait::proto::set_rel::SetOp;
use datafusion_substrait::substrait::proto::r#type::Struct;
use datafusion_substrait::substrait::proto::{
    Expression, FilterRel, NamedStruct, PlanRel, ReadRel, Rel, SetRel, WriteRel,
};

use super::*;

fn rel(kind: Kind) -> Rel {
    Rel { rel_type: Some(kind) }
}

fn literal() -> Expression {
    let literal = Literal { literal_type: Some(LiteralType::Boolean(true)), ..Literal::default() };
    Expression { rex_type: Some(RexType::Literal(literal)) }
}

fn table(names: &[&str]) -> ReadRel {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    ReadRel {
        base_schema: Some(NamedStruct { names: Vec::new(), r#struct: Some(Struct::default()) }),
        read_type: Some(ReadType::NamedTable(NamedTable { names, advanced_extension: None })),
        ..ReadRel::default()
    }
}

fn set(op: SetOp, inputs: usize) -> Rel {
    let inputs = (0..inputs).map(|_| rel(Kind::Read(Box::new(table(&["t"]))))).collect();
    rel(Kind::Set(SetRel { inputs, op: op.into(), ..SetRel::default() }))
}

fn depth(relation: &Rel) -> usize {
    match &relation.rel_type {
        Some(Kind::Set(set)) => 1 + set.inputs.iter().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

fn leaves(relation: &Rel) -> usize {
    match &relation.rel_type {
        Some(Kind::Set(set)) => set.inputs.iter().map(leaves).sum(),
        _ => 1,
    }
}

#[test]
fn tables_are_named_by_one_to_three_parts() {
    let mut relation = rel(Kind::Read(Box::new(table(&["demo", "public", "orders"]))));
    assert_eq!(
        Survey::of(&mut relation, &Declarations::default()).unwrap(),
        [TableReference::full("demo", "public", "orders")]
    );
    for names in [&[][..], &["a", "b", "c", "d"]] {
        let error = Survey::of(&mut rel(Kind::Read(Box::new(table(names)))), &Declarations::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{names:?}");
    }
}

#[test]
fn a_read_that_filters_becomes_a_filter_of_a_read() {
    let read = ReadRel { filter: Some(Box::new(literal())), ..table(&["t"]) };
    let mut relation = rel(Kind::Read(Box::new(read)));
    Survey::of(&mut relation, &Declarations::default()).unwrap();
    let Some(Kind::Filter(filter)) = relation.rel_type else { panic!("{relation:?}") };
    assert_eq!(filter.condition.as_deref(), Some(&literal()));
    let Some(Kind::Read(read)) = filter.input.unwrap().rel_type else { panic!("no read") };
    assert_eq!(read.filter, None);
}

#[test]
fn a_wide_union_is_not_a_deep_one() {
    for op in [SetOp::UnionAll, SetOp::UnionDistinct] {
        let mut relation = set(op, 1000);
        assert_eq!(Survey::of(&mut relation, &Declarations::default()).unwrap().len(), 1000);
        assert_eq!((depth(&relation), leaves(&relation)), (10, 1000));
    }
    let error = Survey::of(&mut set(SetOp::MinusPrimary, 1000), &Declarations::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn what_can_not_be_read_is_named() {
    let files = ReadRel { read_type: Some(ReadType::LocalFiles(LocalFiles::default())), ..ReadRel::default() };
    let below = FilterRel {
        input: Some(Box::new(rel(Kind::Write(Box::default())))),
        condition: Some(Box::new(literal())),
        ..FilterRel::default()
    };
    for (kind, name) in [
        (Kind::Read(Box::new(files)), "LocalFiles"),
        (Kind::Filter(Box::new(below)), "WriteRel"),
        (Kind::Reference(Default::default()), "ReferenceRel"),
        (Kind::HashJoin(Box::default()), "HashJoinRel"),
        (Kind::ExtensionLeaf(Default::default()), "ExtensionLeafRel"),
        (Kind::Ddl(Box::default()), "DdlRel"),
        (Kind::Update(Box::default()), "UpdateRel"),
    ] {
        let error = Survey::of(&mut rel(kind), &Declarations::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.message().contains(name), "{error}");
    }
}

#[test]
fn a_relation_without_its_parts_is_malformed() {
    for kind in [
        Kind::Filter(Box::default()),
        Kind::Join(Box::default()),
        Kind::Cross(Box::default()),
        Kind::Sort(Box::default()),
        Kind::Project(Box::default()),
        Kind::Read(Box::default()),
    ] {
        let error = Survey::of(&mut rel(kind), &Declarations::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.message().contains("malformed"), "{error}");
    }
}

#[test]
fn bytes_that_are_no_plan_are_malformed() {
    for bytes in [&b""[..], b"\xff\xff\xff", b"SELECT 1", &[0; 1000]] {
        let outcome = decode(&Bytes::copy_from_slice(bytes)).and_then(|mut plan| root(&mut plan).map(|_| ()));
        let error = outcome.unwrap_err();
        assert!(error.message().contains("malformed"), "{error}");
    }
}

#[test]
fn an_insert_is_taken_off_the_root() {
    let mut plan = Plan::default();
    assert!(insert::split(&mut plan).is_err());
    let relation = rel(Kind::Write(Box::<WriteRel>::default()));
    let root = RelType::Rel(relation);
    plan.relations = vec![PlanRel { rel_type: Some(root) }];
    assert_eq!(insert::split(&mut plan).unwrap_err().kind(), ErrorKind::Unsupported);
    plan.relations = vec![PlanRel { rel_type: Some(RelType::Rel(rel(Kind::Read(Box::new(table(&["t"])))))) }];
    assert!(insert::split(&mut plan).unwrap().is_none());
}
