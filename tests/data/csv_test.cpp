#include "table_files.hpp"

namespace evengrad::test {
namespace {

using Floats = std::vector<float>;
using Classes = std::vector<std::int32_t>;

class Csv : public TableFiles {};

TEST_F(Csv, RowsHaveFeaturesAndAClass) {
    const Dataset data =
        csv("sepal,petal,species\n"
            "5.1,1.4,setosa\n"
            "-6.25,+4.5e0,virginica\n"
            "0,.5,setosa\n");
    ASSERT_EQ(data.documents(), 3);
    EXPECT_EQ(data.tokens(), 6);
    EXPECT_EQ(data.row_shape(), (RowShape{2, 0}));
    const DataPart& part = data.part(0);
    EXPECT_EQ(features_of(part, 0), (Floats{5.1F, 1.4F}));
    EXPECT_EQ(features_of(part, 1), (Floats{-6.25F, 4.5F}));
    EXPECT_EQ(features_of(part, 2), (Floats{0.0F, 0.5F}));
    EXPECT_EQ(classes_of(part), (Classes{0, 1, 0}));
    EXPECT_EQ(weights_of(part), (Floats{1, 1, 1}));
    EXPECT_EQ(data.tokenizer()->spec().describe(), "2 classes (setosa, virginica)");
    EXPECT_EQ(part.describe(1), part.name() + " line 3: class 'virginica'");
    EXPECT_TRUE(data.has_loss());
}

TEST_F(Csv, RowsGiveValues) {
    const Dataset data = csv("y,a,b,z\n1,2,3,4\n5,6,7,8\n", values_of({"z", "1"}));
    EXPECT_EQ(data.row_shape(), (RowShape{2, 2}));
    EXPECT_EQ(features_of(data.part(0), 1), (Floats{6, 7}));
    EXPECT_EQ(values_of(data.part(0), 1), (Floats{8, 5}));
    EXPECT_EQ(data.tokenizer()->spec().describe(), "values");
    EXPECT_EQ(classes_of(data.part(0)), (Classes{0, 0}));
    EXPECT_EQ(data.part(0).describe(0), data.part(0).name() + " line 2: values 4, 1");
}

TEST_F(Csv, QuotesNewlinesAndMarksAreThoseOfRfc4180) {
    const Dataset data =
        csv("\xEF\xBB\xBF\"x, the \"\"first\"\"\",y\r\n"
            "\"1\" , \" 2\"\"\" \r\n"
            "\r\n \t\n"
            " 3,a \r"
            "\"4\",b");
    ASSERT_EQ(data.documents(), 3);
    EXPECT_EQ(data.tokenizer()->spec().model, " 2\"\na\nb\n");
    EXPECT_EQ(classes_of(data.part(0)), (Classes{0, 1, 2}));
    EXPECT_EQ(features_of(data.part(0), 2), Floats{4});
    for (const auto& [row, line] : {std::pair{0, 2}, {1, 5}, {2, 6}})
        EXPECT_TRUE(data.part(0).place(row).ends_with(fmt::format("a.csv line {}", line)))
            << data.part(0).place(row);
}

TEST_F(Csv, ANewlineInACellIsCounted) {
    TableOptions options;
    options.target_columns = {"1"};
    EXPECT_EQ(csv_error("a,1,2\nb,3,\"4\n\n\"\nc,5,6\n", options),
              "a.csv line 2: column 3 is '4\\n\\n', not a number");
    EXPECT_EQ(csv_error("a,1,2\n\nb,3,\"4\"\r\nc,5\n", options),
              "a.csv line 4: 2 columns, line 1 has 3");
    EXPECT_EQ(csv_error("a,1,2\rb,3,4\r\rc,5\r", options), "a.csv line 4: 2 columns, line 1 has 3");
}

TEST_F(Csv, TheFirstRowIsAHeaderWhenItMustBe) {
    EXPECT_EQ(csv("1,2,a\n3,4,b\n").documents(), 2);  // the class may be a text
    EXPECT_EQ(csv("x,2,a\n3,4,b\n5,6,c\n").documents(), 2);
    TableOptions options;
    options.header = TableHeader::yes;
    EXPECT_EQ(csv("1,2,c\n3,4,a\n5,6,b\n", options).documents(), 2);
    options.header = TableHeader::no;
    EXPECT_EQ(csv_error("x,y,c\n3,4,a\n", options), "a.csv line 1: column 1 is 'x', not a number");
    // By name: always, even where all are numbers.
    options = {};
    options.target_columns = {"c"};
    EXPECT_EQ(csv("1,c\n3,a\n5,b\n", options).documents(), 2);
    options = {};
    options.weight_column = "w";
    EXPECT_EQ(csv_error("1,2\n3,4\n", options), "a.csv line 1: there is no column 'w'");
    // With values no target is a text; what isn't finite is no name.
    EXPECT_EQ(csv("1,y\n3,4\n5,6\n", values_of()).documents(), 2);
    EXPECT_EQ(csv_error("nan,1\n2,3\n"),
              "a.csv line 1: column 1 is nan, not a finite number of single precision");
    EXPECT_EQ(csv_error(",1\n2,3\n"), "a.csv line 1: column 1 is empty");
    // pandas names its index "".
    EXPECT_EQ(csv(",x,c\n0,1,a\n1,2,b\n").row_shape().features, 2);
}

TEST_F(Csv, ColumnsAreTakenByNameOrNumber) {
    TableOptions options;
    options.target_columns = {"2"};
    options.weight_column = "w";
    const Dataset data = csv("x,c,w,y\n1,b,0.1,2\n3,a,0,4\n5,a,7.25,6\n", options);
    EXPECT_EQ(features_of(data.part(0), 1), (Floats{3, 4}));
    EXPECT_EQ(classes_of(data.part(0)), (Classes{1, 0, 0}));
    EXPECT_EQ(weights_of(data.part(0)), (Floats{round_weight(0.1), 0.0F, 7.25F}));

    EXPECT_EQ(csv_error("x,x,c\n1,2,a\n", {{}, {"x"}, {}, {}}),
              "a.csv line 1: two columns are called 'x'");
    EXPECT_EQ(csv_error("x,c\n1,a\n", {{}, {"3"}, {}, {}}),
              "a.csv: there is no column 3, it has 2");
    EXPECT_EQ(csv_error("x,c\n1,a\n", {{}, {"0"}, {}, {}}),
              "a.csv: there is no column 0, it has 2");
    EXPECT_EQ(csv_error("x,c\n1,a\n", {{}, {"c"}, "2", {}}),
              "a.csv: column 2 (c) is asked for twice");
    EXPECT_EQ(csv_error("x,y\n1,2\n", {{}, {"y"}, {}, TableHeader::no}),
              "a.csv: a column 'y' is asked for, but columns are said to have no names");
    EXPECT_EQ(csv_error("x,y\n1,2\n", {{}, {"x", "y"}, {}, {}}),
              "2 target columns, but a row has one class");
    EXPECT_EQ(csv_error("a\nb\n"), "a.csv line 1: 1 columns, 0 of them features");
}

TEST_F(Csv, ClassesAreNumbersOrNames) {
    const auto spec_of = [&](std::string_view bytes) { return csv(bytes).tokenizer()->spec(); };
    EXPECT_EQ(spec_of("1,0\n2,3\n").describe(), "4 classes");
    EXPECT_EQ(classes_of(csv("1,1.0\n2,3e0\n3,1\n").part(0)), (Classes{1, 3, 1}));
    // In the order of their bytes, whatever the file's.
    EXPECT_EQ(spec_of("1,b\n2,B\n3,a\n").model, "B\na\nb\n");
    EXPECT_EQ(spec_of("1,10\n2,-1\n3,9\n").model, "-1\n10\n9\n");
    EXPECT_EQ(spec_of("1,1.5\n2,2\n").model, "1.5\n2\n");
    EXPECT_EQ(spec_of("1,65535\n2,0\n").vocabulary_size, 65536);
    EXPECT_EQ(csv_error("1,65536\n2,0\n"),
              "a.csv line 1: column 2: class 65536; classes that are numbers go from 0 to 65535");
    EXPECT_EQ(csv_error("1,0\n2,0\n"), "a.csv line 1: column 2: all rows are of class 0");
    EXPECT_EQ(csv_error("x,c\n1,n\n2,n\n"),
              "a.csv line 2: column 2 (c): all rows are of the class 'n'");
    std::string many;
    for (int i = 0; i <= 65536; ++i) many += fmt::format("1,c{}\n", i);
    EXPECT_EQ(csv_error(many), "a.csv line 65537: column 2: more than 65536 classes");
}

TEST_F(Csv, NamesThatCouldMisleadAreRefused) {
    EXPECT_EQ(csv_error("1,\"a\nb\"\n2,c\n"),
              "a.csv line 1: column 2: the class 'a\\nb' has control characters");
    EXPECT_EQ(csv_error("1,a\x1B[2J\n2,c\n"),
              "a.csv line 1: column 2: the class 'a\\x1b[2J' has control characters");
    EXPECT_EQ(csv_error("1,a\n2,\n"), "a.csv line 2: column 2: the class '' is empty");
    EXPECT_EQ(csv_error("1,a\xFF\n2,c\n"),
              "a.csv line 1: column 2: the class 'a\xFF' is not valid UTF-8");
    EXPECT_EQ(csv_error("1," + std::string(257, 'a') + "\n2,c\n"),
              "a.csv line 1: column 2: the class '" + std::string(40, 'a') +
                  "...' has 257 bytes, more than 256");
    EXPECT_EQ(csv_error("\"x\n\",c\n1,a\n"),
              "a.csv line 1: the name of column 1, 'x\\n', has control characters");
}

TEST_F(Csv, ClassesOfACheckpointAreKept) {
    const auto names = csv("1,b\n2,a\n3,c\n").tokenizer();
    const Dataset later = csv("x,k\n1,c\n2,b\n", {}, names);
    EXPECT_EQ(classes_of(later.part(0)), (Classes{2, 1}));
    EXPECT_EQ(later.tokenizer()->spec(), names->spec());
    EXPECT_EQ(csv("1,a\n", {}, names).documents(), 1);
    EXPECT_EQ(csv_error("x,k\n1,c\n2,d\n", {}, names),
              "a.csv line 3: column 2 (k): 'd' is none of the 3 classes (a, b, c)");
    const auto numbers = csv("1,0\n2,4\n").tokenizer();
    EXPECT_EQ(csv_error("1,0\n2,5\n", {}, numbers),
              "a.csv line 2: column 2: '5' is none of the 5 classes");
    EXPECT_EQ(csv_error("1,0\n2,a\n", {}, numbers),
              "a.csv line 2: column 2: 'a' is none of the 5 classes");
    EXPECT_THROW(csv("1,2\n", values_of(), numbers), UsageError);
    EXPECT_THROW(csv("1,2\n", {}, make_tokenizer({})), UsageError);
}

TEST_F(Csv, WhatIsNoNumberIsRefusedWithLineAndColumn) {
    EXPECT_EQ(csv_error("a,b,c\n1,2,x\n3,,y\n"), "a.csv line 3: column 2 (b) is empty");
    EXPECT_EQ(csv_error("a,b,c\n1,2,x\n3,1 2,y\n"),
              "a.csv line 3: column 2 (b) is '1 2', not a number");
    for (const char* text : {"inf", "-nan", "1e39", "1e999", "-3.5e38"})
        EXPECT_EQ(csv_error(fmt::format("1,x\n{},y\n", text)),
                  fmt::format("a.csv line 2: column 1 is {}, not a finite number of single "
                              "precision",
                              text));
    for (const char* text : {"0x10", "1,5", "--1", "+-1", "1e", "1f", "\"\"\"\""})
        EXPECT_NE(csv_error(fmt::format("1,x\n{},y\n", text)), "") << text;
    TableOptions options;
    options.weight_column = "1";
    EXPECT_EQ(csv_error("1,2,a\n-1,2,b\n", options), "a.csv line 2: column 1 is a weight of -1");
    EXPECT_EQ(csv_error("1,2,a\n65537,2,b\n", options),
              "a.csv line 2: column 1 is a weight of 65537");
}

TEST_F(Csv, QuotesThatAreMisplacedAreRefused) {
    EXPECT_EQ(csv_error("1,a\n2,b\"c\n"), "a.csv line 2: column 2 has a quote inside");
    EXPECT_EQ(csv_error("1,a\n\"2\"3,b\n"),
              "a.csv line 2: column 1 goes on behind its closing quote");
    EXPECT_EQ(csv_error("1,a\n2,\"b\n3,c\n"),
              "a.csv line 2: a quote opens column 2 and is never closed");
}

TEST_F(Csv, EmptyFilesAreRefused) {
    for (const char* bytes : {"", "\n\n", "\xEF\xBB\xBF", " \r\n"})
        EXPECT_EQ(csv_error(bytes), "a.csv: no rows");
    EXPECT_EQ(csv_error("a,b\n"), "a.csv: no rows below the names of its columns");
}

TEST_F(Csv, ARowThatIsTooLongIsRefusedBeforeItIsHeld) {
    const std::string mebibyte(std::size_t{1} << 20, ' ');
    std::string cell = "1,a\n2,\"";
    for (int i = 0; i < 65; ++i) cell += mebibyte;
    EXPECT_EQ(csv_error(cell), "a.csv line 2: a row longer than 64 MiB");
    EXPECT_EQ(csv_error(std::string((std::size_t{64} << 20) / 16 + (1 << 21), ',')),
              "a.csv line 1: a row longer than 64 MiB");
}

TEST_F(Csv, TabsSeparateCellsOfTsv) {
    TableOptions options;
    options.target_columns = {"2"};
    const Dataset data = table("b.TSV", "1\ta, b\t2\n3\t c \t 4\n", options);
    EXPECT_EQ(data.tokenizer()->spec().model, "a, b\nc\n");
    EXPECT_EQ(features_of(data.part(0), 1), (Floats{3, 4}));
    EXPECT_EQ(error_of([&] { table("b.tsv", "1\ta\t2\n\tc\t4\n", options); }),
              "b.tsv line 2: column 1 is empty");
    EXPECT_EQ(error_of([&] { table("b.tsv", "1\ta\t2\n\t\t\n", options); }),
              "b.tsv line 2: column 1 is empty");
}

TEST_F(Csv, SeveralFilesShareTheirClasses) {
    const std::string a = write("a.csv", "x,c\n1,m\n2,z\n").string();
    const std::string b = write("b.csv.gz", gzip("x,c\n3,b\n")).string();
    const Dataset data = open_table({a + ":3", b + ":1"});
    EXPECT_EQ(data.shares(), (std::vector<double>{3, 1}));
    EXPECT_EQ(data.tokenizer()->spec().model, "b\nm\nz\n");
    EXPECT_EQ(classes_of(data.part(0)), (Classes{1, 2}));
    EXPECT_EQ(classes_of(data.part(1)), (Classes{0}));
    const auto error = [&](std::string_view bytes) {
        const std::string other = write("c.csv", bytes).string();
        return error_of([&] { open_table({a, other}); });
    };
    EXPECT_EQ(error("x,y,c\n1,2,m\n"), "c.csv has 2 feature columns, a.csv has 1");
    EXPECT_EQ(error("y,c\n1,m\n"), "c.csv: the feature column 'y' stands where a.csv has 'x'");
    EXPECT_EQ(error_of([&] {
                  open_table({a, b + ":1"});
              }),
              "1 of 2 data files have a share (FILE:SHARE)");
    const std::string plain = write("d.csv", "1,m\n").string();
    EXPECT_EQ(open_table({a, plain}).documents(), 3);
}

TEST_F(Csv, FilesOfOtherKindsAreRefused) {
    EXPECT_EQ(error_of([&] { table("a.txt", "1,2\n"); }), "a.txt: unknown kind of table");
    EXPECT_EQ(error_of([&] { open_table({path("no.csv").string()}); }),
              "no.csv: there is no such file");
}

}  // namespace
}  // namespace evengrad::test
