package render

// The stages of a rendering, for the tests of each. Nothing else calls them past the door.

type (
	// RevisionInput is what the stage of the charts takes; PlanInput, CNIInput and TagInput likewise.
	RevisionInput = revisionInput
	// PlanInput is what the stage of the layers takes.
	PlanInput = planInput
	// CNIInput is what the stage of the charts takes for the plugin.
	CNIInput = cniInput
	// TagInput is what the stage of the charts takes for a tag.
	TagInput = tagInput
	// Problem is what the stage of the checks finds.
	Problem = problem
	// Source is where it has values from.
	Source = source
)

// The stages.
var (
	PlanRevision    = planRevision
	Complete        = complete
	CheckIstio      = checkIstio
	CheckRevision   = checkRevision
	CheckCNI        = checkCNI
	RenderRevision  = renderRevision
	CRDs            = renderedCRDs
	CNI             = renderCNI
	Tag             = renderTag
	Meant           = meant
	UnknownPlatform = unknownPlatform
)
