"""Every kind of node that the parser can make is handled, harmless or refused: none is unknown."""

import re
from pathlib import Path

import pytest
from postgast import pg_query_pb2 as pb

from callpoint.domain.errors import DeniedError
from callpoint.domain.operation import DESTRUCTIVE, VERBS
from callpoint.gateways.postgres.sql.access import Access, Verb
from callpoint.gateways.postgres.sql.classify import Behind, Classifier
from callpoint.gateways.postgres.sql.rules import HARMLESS, RULES
from callpoint.gateways.postgres.sql.session import Session
from callpoint.gateways.postgres.sql.walk import Walk, describe, walk_on
from tests.fakes.sql_catalogue import catalogue, classifier

ROOT = Path(__file__).parent.parent.parent

REFUSED_STATEMENTS = frozenset(
    """
    AlterCollationStmt AlterDatabaseRefreshCollStmt AlterDatabaseSetStmt AlterDatabaseStmt
    AlterDefaultPrivilegesStmt AlterDomainStmt AlterEnumStmt AlterEventTrigStmt
    AlterExtensionContentsStmt AlterExtensionStmt AlterFdwStmt AlterForeignServerStmt
    AlterFunctionStmt AlterObjectDependsStmt AlterObjectSchemaStmt AlterOpFamilyStmt
    AlterOperatorStmt AlterOwnerStmt AlterPolicyStmt AlterPublicationStmt AlterRoleSetStmt
    AlterRoleStmt AlterStatsStmt AlterSubscriptionStmt AlterSystemStmt AlterTSConfigurationStmt
    AlterTSDictionaryStmt AlterTableMoveAllStmt AlterTableSpaceOptionsStmt AlterTypeStmt
    AlterUserMappingStmt CheckPointStmt ClusterStmt CompositeTypeStmt CreateAmStmt CreateCastStmt
    CreateConversionStmt CreateDomainStmt CreateEnumStmt CreateEventTrigStmt CreateExtensionStmt
    CreateFdwStmt CreateForeignServerStmt CreateForeignTableStmt CreateFunctionStmt
    CreateOpClassStmt CreateOpFamilyStmt CreatePLangStmt CreatePolicyStmt CreatePublicationStmt
    CreateRangeStmt CreateRoleStmt CreateSchemaStmt CreateStatsStmt CreateSubscriptionStmt
    CreateTableSpaceStmt CreateTransformStmt CreateTrigStmt CreateUserMappingStmt CreatedbStmt
    DefineStmt DoStmt DropOwnedStmt DropRoleStmt DropSubscriptionStmt DropTableSpaceStmt
    DropUserMappingStmt DropdbStmt GrantRoleStmt GrantStmt ImportForeignSchemaStmt LoadStmt
    ReassignOwnedStmt RuleStmt SecLabelStmt
    """.split()  # noqa: SIM905 -- words are read more easily than quotes
)

REFUSED_PARTS = frozenset(
    # Parts of refused statements, options that a rule reads by itself, partitions.
    """
    ATAlterConstraint AccessPriv CallContext CreateOpClassItem DefElem FunctionParameter
    InlineCodeBlock ObjectWithArgs PLAssignStmt PartitionBoundSpec PartitionCmd PartitionElem
    PartitionRangeDatum PartitionSpec PublicationObjSpec PublicationTable ReplicaIdentityStmt
    ReturnStmt RoleSpec StatsElem TriggerTransition VacuumRelation
    """.split()  # noqa: SIM905 -- words are read more easily than quotes
)

NEVER_PARSED = frozenset(
    # What the server makes of a statement after parsing, and containers of other calls.
    """
    Aggref AlternativeSubPlan ArrayCoerceExpr ArrayExpr CaseTestExpr CoerceToDomain
    CoerceToDomainValue CoerceViaIO CollateExpr ConvertRowtypeExpr DistinctExpr FieldSelect
    FieldStore FromExpr FuncExpr InferenceElem IntList JsonConstructorExpr JsonExpr JsonTablePath
    JsonTablePathScan JsonTableSiblingJoin MergeAction NextValueExpr NullIfExpr OidList
    OnConflictExpr OpExpr Param ParseResult Query RTEPermissionInfo RangeTblEntry RangeTblFunction
    RangeTblRef RelabelType ReturningExpr RowCompareExpr RowMarkClause ScalarArrayOpExpr ScanResult
    ScanToken SetOperationStmt SortGroupClause SubPlan SubscriptingRef SummaryResult TableFunc
    TableSampleClause TargetEntry Var WindowClause WindowFunc WindowFuncRunCondition
    WithCheckOption
    """.split()  # noqa: SIM905 -- words are read more easily than quotes
)


def test_every_message_of_the_parser_is_decided() -> None:
    """A parser that knows more messages fails here before anybody uses it."""
    ruled = {kind.__name__ for kind in RULES}
    refused = REFUSED_STATEMENTS | REFUSED_PARTS | NEVER_PARSED
    assert ruled | refused == set(pb.DESCRIPTOR.message_types_by_name)
    assert not ruled & refused
    assert not REFUSED_STATEMENTS & REFUSED_PARTS
    assert {kind for kind, rule in RULES.items() if rule is walk_on} == set(HARMLESS)


def test_a_wrapper_holds_one_node_and_nothing_else() -> None:
    """The walk takes the one field of a Node that is set: no other could be set beside it."""
    wrapper = pb.Node.DESCRIPTOR
    assert [one.name for one in wrapper.oneofs] == ["node"]
    for one in wrapper.fields:
        assert one.containing_oneof is wrapper.oneofs[0]
        assert one.type == one.TYPE_MESSAGE
        assert not one.is_repeated


@pytest.mark.parametrize("name", sorted(REFUSED_STATEMENTS | REFUSED_PARTS | NEVER_PARSED))
def test_a_node_without_a_rule_is_refused(name: str) -> None:
    """Whatever it holds, it is refused by its class."""
    one = classifier()
    walk = one._walk("", pb.RawStmt(), Session(), Behind())
    with pytest.raises(DeniedError, match="never allowed"):
        walk.visit(getattr(pb, name)())


def test_a_field_that_no_rule_names_is_walked() -> None:
    """A rule that forgets a field loses nothing: the field's nodes are walked all the same."""
    tree = pb.RawStmt()
    tree.stmt.truncate_stmt.SetInParent()
    hidden = tree.stmt.truncate_stmt.relations.add()
    hidden.range_var.relname = "items"
    walk: Walk = Classifier(catalogue())._walk("", tree, Session(), Behind())
    assert {str(one) for one in walk.accesses} == {"sql:truncate public.items"}
    tree = pb.RawStmt()
    tree.stmt.delete_stmt.relation.relname = "items"
    tree.stmt.delete_stmt.returning_clause.exprs.add().func_call.funcname.add().string.sval = "bad"
    walk = Classifier(catalogue())._walk("", tree, Session(), Behind())
    assert "sql:execute public.bad" in {str(one) for one in walk.accesses}


def test_refusals_speak_sql() -> None:
    """The class of a statement is told in the words that a person wrote."""
    assert describe("AlterDefaultPrivilegesStmt") == "ALTER DEFAULT PRIVILEGES"
    assert describe("DefElem") == "DefElem"


def test_the_document_lists_every_verb() -> None:
    """docs/gateways/postgres.md and the code name the same verbs."""
    text = (ROOT / "docs/gateways/postgres.md").read_text(encoding="utf-8")
    table = text.split("## Verbs", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"`((?:sql|ddl):[a-z-]+)`", table)) == {verb.value for verb in Verb}


def test_policy_knows_every_verb_and_what_it_does() -> None:
    """The verbs of statements are those that policies can name, and destroy what policy says."""
    assert {verb.value for verb in Verb} == set(VERBS)
    assert {v.value for v in Verb if Access(v, "", "x").destructive} == DESTRUCTIVE
