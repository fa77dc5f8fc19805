module github.com/lateen-io/lateen/releases

go 1.26.0
