"""The standard types, and the fields of every new type."""

from collections.abc import Mapping

from streamer.sandbox.org.schema.entities import SYSTEM, Entity, Field
from streamer.sandbox.org.schema.standard_limits import standard_length

_ADDRESS = ("Street", "City", "State", "PostalCode", "Country", "Latitude", "Longitude", "GeocodeAccuracy")
# Change Data Capture does not support them.
_UNANNOUNCED = frozenset({"Group", "Organization", "Profile", "RecordType", "UserRole"})


def new_type(name: str, prefix: str) -> Entity:
    """Return a type with the fields that every type has; a custom type also has a name and an owner."""
    return _entity(name, prefix, _fields(name, "Name OwnerId:reference" if name.endswith("__c") else ""), {})


def _fields(name: str, line: str) -> dict[str, Field]:
    fields = {}
    for declared in (*SYSTEM, *line.split()):
        field, _, kind = declared.rstrip("!").partition(":")
        fields[field] = Field(
            name=field,
            type=kind or "string",
            required=declared.endswith("!"),
            standard=True,
            length=standard_length(name, field),
        )
    return fields


def _standard(name: str, line: str) -> Entity:
    prefix, _, declared = line.partition(" ")
    plain, parts = [], dict[str, tuple[str, str]]()
    for word in declared.split():
        if word.startswith("@"):
            # `@Billing` stands for the components of BillingAddress, a lone `@` for those of Address.
            components = {word[1:] + part: (word[1:] + "Address", part) for part in _ADDRESS}
            plain += [f"{field}:double" if field.endswith("itude") else field for field in components]
            parts |= components
        else:
            plain.append(word)
    if "LastName!" in plain:
        parts |= {part: ("Name", part) for part in ("Salutation", "FirstName", "LastName")}
    return _entity(name, prefix, _fields(name, " ".join(plain)), parts)


def _entity(
    name: str, prefix: str, fields: Mapping[str, Field], parts: Mapping[str, tuple[str, str]]
) -> Entity:
    return Entity(
        announced=name not in _UNANNOUNCED,
        name=name,
        prefix=prefix,
        fields=fields,
        parts=parts,
        by_lower_name={field.lower(): field for field in fields},
    )


# Each line: the id prefix, then the fields with their types; `!` marks a required one.
_STANDARD = {
    "Account": "001 Name! Type:picklist ParentId:reference @Billing @Shipping Phone:phone Fax:phone "
    "AccountNumber Website:url Sic Industry:picklist AnnualRevenue:currency NumberOfEmployees:int "
    "Ownership:picklist TickerSymbol Description:textarea Rating:picklist Site OwnerId:reference "
    "AccountSource:picklist",
    "Contact": "003 Salutation:picklist FirstName LastName! AccountId:reference @Mailing @Other Phone:phone "
    "Fax:phone MobilePhone:phone HomePhone:phone Email:email Title Department ReportsToId:reference "
    "LeadSource:picklist Birthdate:date Description:textarea OwnerId:reference",
    "User": "005 Username! Name Email:email IsActive:boolean",
    "Opportunity": "006 AccountId:reference Name! Description:textarea StageName:picklist! Amount:currency "
    "Probability:percent ExpectedRevenue:currency CloseDate:date! Type:picklist NextStep "
    "LeadSource:picklist IsClosed:boolean IsWon:boolean ForecastCategoryName:picklist "
    "CampaignId:reference HasOpportunityLineItem:boolean Pricebook2Id:reference OwnerId:reference",
    "Lead": "00Q Salutation:picklist FirstName LastName! Company! Title @ Phone:phone MobilePhone:phone "
    "Email:email Website:url Description:textarea LeadSource:picklist Status:picklist Industry:picklist "
    "Rating:picklist AnnualRevenue:currency NumberOfEmployees:int IsConverted:boolean "
    "ConvertedDate:date ConvertedAccountId:reference ConvertedContactId:reference "
    "ConvertedOpportunityId:reference OwnerId:reference",
    "Case": "500 CaseNumber ContactId:reference AccountId:reference ParentId:reference SuppliedName "
    "SuppliedEmail:email Type:picklist Status:picklist Reason:picklist Origin:picklist Subject "
    "Priority:picklist Description:textarea IsClosed:boolean ClosedDate:datetime IsEscalated:boolean "
    "OwnerId:reference",
    "Order": "801 AccountId:reference ContractId:reference OpportunityId:reference OrderNumber "
    "EffectiveDate:date! EndDate:date Status:picklist! Description:textarea Type:picklist @Billing "
    "@Shipping Name TotalAmount:currency PoNumber OrderReferenceNumber OwnerId:reference",
    "OrderItem": "802 OrderId:reference! OrderItemNumber Product2Id:reference Quantity:double! "
    "UnitPrice:currency! TotalPrice:currency ServiceDate:date Description",
    "OpportunityLineItem": "00k OpportunityId:reference! Name Product2Id:reference Quantity:double "
    "UnitPrice:currency TotalPrice:currency ServiceDate:date Description",
    "Product2": "01t Name! ProductCode Description:textarea IsActive:boolean Family:picklist",
    "Asset": "02i Name! AccountId:reference ContactId:reference Product2Id:reference SerialNumber "
    "Status:picklist Price:currency Quantity:double OwnerId:reference",
    "Contract": "800 AccountId:reference! Status:picklist StartDate:date EndDate:date ContractTerm:int "
    "ContractNumber @Billing OwnerId:reference",
    "Task": "00T WhoId:reference WhatId:reference Subject Status:picklist Priority:picklist "
    "ActivityDate:date Description:textarea OwnerId:reference",
    "Event": "00U WhoId:reference WhatId:reference Subject Location StartDateTime:datetime! "
    "EndDateTime:datetime! DurationInMinutes:int IsAllDayEvent:boolean Description:textarea "
    "OwnerId:reference",
    "Campaign": "701 Name! Type:picklist Status:picklist StartDate:date EndDate:date "
    "BudgetedCost:currency ActualCost:currency ExpectedRevenue:currency IsActive:boolean "
    "Description:textarea ParentId:reference OwnerId:reference",
    "CampaignMember": "00v CampaignId:reference! LeadId:reference ContactId:reference Status:picklist "
    "HasResponded:boolean FirstRespondedDate:date",
    "Pricebook2": "01s Name! Description IsActive:boolean IsStandard:boolean",
    "PricebookEntry": "01u Pricebook2Id:reference! Product2Id:reference! UnitPrice:currency! Name "
    "ProductCode IsActive:boolean UseStandardPrice:boolean",
    "UserRole": "00E Name! DeveloperName ParentRoleId:reference RollupDescription",
    "Profile": "00e Name Description UserType:picklist",
    "RecordType": "012 Name! DeveloperName! SobjectType:picklist! Description IsActive:boolean",
    "Group": "00G Name! DeveloperName Type:picklist Email:email RelatedId:reference",
    "Organization": "00D Name IsSandbox:boolean OrganizationType:picklist InstanceName",
}
STANDARD: Mapping[str, Entity] = {name: _standard(name, line) for name, line in _STANDARD.items()}
"""The standard types, as they are before anything is declared or created."""
