module catalyst/tests/tools/hostile

go 1.26
