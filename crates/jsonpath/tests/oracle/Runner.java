import com.jayway.jsonpath.JsonPath;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import net.minidev.json.JSONStyle;
import net.minidev.json.JSONValue;

/**
 * Reads a JSON document in base64, then paths, one a line in base64; with the argument `documents` nothing but documents.
 * Answers each path or document with a line: `ok`, a space and the result as JSON in base64, or `error` and the exception
 * in base64.
 */
public class Runner {
    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        PrintStream out = new PrintStream(System.out, true, "US-ASCII");
        boolean documents = arguments.length > 0;
        String document = documents ? null : decode(in.readLine());
        String line;
        while ((line = in.readLine()) != null) {
            out.println(documents ? answer(decode(line), "$") : answer(document, decode(line)));
        }
    }

    private static String answer(String document, String path) {
        try {
            Object result = JsonPath.parse(document).read(path);
            return "ok " + encode(JSONValue.toJSONString(result, JSONStyle.LT_COMPRESS));
        } catch (Throwable failure) {
            return "error " + encode(failure.getClass().getSimpleName() + ": " + failure.getMessage());
        }
    }

    private static String decode(String line) {
        return new String(Base64.getDecoder().decode(line), StandardCharsets.UTF_8);
    }

    private static String encode(String text) {
        return Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    }
}
