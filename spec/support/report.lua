-- SPDX-License-Identifier: Apache-2.0
-- A Busted output handler: the plain terminal's, plus the counts as JSON in the file that
-- `-Xoutput` names, for spec/run.lua to add up.
return function(options)
  local busted = require "busted"
  local path = table.remove(options.arguments, 1)
  local handler = require "busted.outputHandlers.utfTerminal"(options)
  busted.subscribe({ "suite", "end" }, function()
    local file = assert(io.open(path, "w"))
    file:write(('{"passed":%d,"failed":%d}'):format(
      handler.successesCount, handler.failuresCount + handler.errorsCount))
    file:close()
    return nil, true
  end)
  return handler
end
