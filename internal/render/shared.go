package render

// ReaderAccount is the account by which other clusters read this one: every revision binds its own roles to it, and
// remote secrets have its token.
const ReaderAccount = "istio-reader-service-account"

// Shared reports whether an object belongs to one revision, or to the tag named default, and all revisions of its
// namespace rely on it: it stays as long as there is one. A test holds that against what the charts render.
//
// The webhook istiod-default-validator is no such object: it calls the istiod of the revision that it came with, and
// would refuse all configuration when that is gone.
func Shared(kind, name string) bool { return kind == "ServiceAccount" && name == ReaderAccount }
