module example.com/way

go 1.26
