-- SPDX-License-Identifier: Apache-2.0
-- `make conformance` on a tree of its own: a few statements, one spec, one C test, and the
-- mistakes that people make with them.
describe("make conformance", function()
  local root, out

  local function sh(command) return os.execute(command) == true end

  local function write(path, text)
    local file = assert(io.open(root .. "/" .. path, "wb"))
    file:write(text)
    file:close()
  end

  local function read(path)
    local file = assert(io.open(root .. "/" .. path, "rb"))
    local text = file:read "a"
    file:close()
    return text
  end

  local function conformance(flag)
    local ok = sh(("TG_CONFORMANCE_ROOT=%s lua5.4 .ci/conformance.lua %s >%s/out 2>&1"):format(
      root, flag or "", root))
    out = read "out"
    return ok
  end

  local function refused(pattern)
    assert.is_false(conformance())
    assert.matches(pattern, out)
    assert.is_false(conformance "--write")
  end

  local STATEMENTS = "version\tstatement\tside\tin other words\tnot applicable, because\n"
    .. "3.1.1\t1.0.0-1\tserver\tanswers\t\n"
    .. "3.1.1\t1.0.0-2\tclient\tasks\t\n"
    .. "3.1.1\t1.0.0-3\tboth\tspeak\tthere is no line\n"
    .. "5.0\t1.0.0-1\tserver\tanswers | listens\t\n"
  local SPEC = [[
    local other = require "somewhere.else"
    local limit = other.limit() * 2
    describe("it", function()
      for i = 1, 2 do
        it(("answers, time %d%s"):format(i, i == 2 and " [3.1.1: 1.0.0-1]" or ""), other.now)
      end
    end)
  ]]
  local TEST = "// Hears | [5.0: 1.0.0-1]\nstatic void it_hears(void **state)\n{\n}\n"

  before_each(function()
    root = os.tmpname()
    os.remove(root)
    assert(sh(("mkdir -p %s/docs %s/spec/data %s/spec/e2e %s/spec/protocols/mqtt"):format(
      root, root, root, root)))
    write("spec/data/mqtt_statements.tsv", STATEMENTS)
    write("spec/e2e/mqtt_spec.lua", SPEC)
    write("spec/protocols/mqtt/hear_test.c", TEST)
    assert.is_true(conformance "--write", out)
  end)

  after_each(function() assert(sh("rm -rf " .. root)) end)

  it("is content with statements, specs and document that agree", function()
    assert.is_true(conformance())
    assert.equal("", out)
    local text = read "docs/mqtt-conformance.md"
    for _, row in ipairs {
      "| MQTT-1.0.0-1 | server | answers | "
        .. "[mqtt_spec.lua](../spec/e2e/mqtt_spec.lua): it answers, time 2 |",
      "| MQTT-1.0.0-2 | client | asks | not applicable: binds the client alone |",
      "| MQTT-1.0.0-3 | both | speak | not applicable: there is no line |",
      "| MQTT-1.0.0-1 | server | answers \\| listens | "
        .. "[hear_test.c](../spec/protocols/mqtt/hear_test.c): it hears |",
      "3 statements: 1 proven by specs, 2 not applicable.",
    } do
      assert.truthy(text:find(row, 1, true), row)
    end
  end)

  it("wants a spec or a reason for what binds a server", function()
    write("spec/protocols/mqtt/hear_test.c", "")
    refused "5%.0 MQTT%-1%.0%.0%-1 has neither a spec nor a reason: tag .* %[5%.0: 1%.0%.0%-1%]"
  end)

  it("does not take the same number of another version for it", function()
    write("spec/protocols/mqtt/hear_test.c", (TEST:gsub("5%.0", "3.1.1")))
    refused "5%.0 MQTT%-1%.0%.0%-1 has neither"
  end)

  it("names a tag of a statement that does not exist", function()
    write("spec/e2e/mqtt_spec.lua", (SPEC:gsub("1%.0%.0%-1", "1.0.0-1, 1.0.0-9")))
    refused "mqtt_spec%.lua: \"it answers, time 2\" names 3%.1%.1 MQTT%-1%.0%.0%-9, which does not"
  end)

  it("names a tag of a version that does not exist", function()
    write("spec/e2e/mqtt_spec.lua", (SPEC:gsub("3%.1%.1:", "3.1:")))
    refused "there is no version 3%.1"
  end)

  it("wants a reason to go when there is a spec", function()
    write("spec/e2e/mqtt_spec.lua", (SPEC:gsub("1%.0%.0%-1", "1.0.0-1, 1.0.0-3")))
    refused "MQTT%-1%.0%.0%-3 has a spec now"
  end)

  it("wants the document to be written again", function()
    write("spec/e2e/mqtt_spec.lua", (SPEC:gsub("answers", "replies")))
    assert.is_false(conformance())
    assert.matches("docs/mqtt%-conformance%.md is not what the specs say", out)
    assert.is_true(conformance "--write")
    assert.is_true(conformance())
  end)

  it("names a line that is no statement", function()
    write("spec/data/mqtt_statements.tsv", STATEMENTS .. "5.0\t1.0.0\tserver\twhat\t\n")
    refused "no statement: 5%.0"
    write("spec/data/mqtt_statements.tsv", STATEMENTS .. STATEMENTS:match "[^\n]+\n$")
    refused "5%.0 MQTT%-1%.0%.0%-1 is there twice"
  end)
end)
